/** A few seeds of the spool model; `npm run model` runs many. */

import t from 'tap';
import { runSpool } from './spool.ts';

for (const seed of [1, 2]) {
  t.test(`seed ${seed}`, async (t) => {
    await runSpool(t.testdir(), seed, 100);
    t.pass('the spool and the model agree');
  });
}

/** A few seeds of the storage model; `npm run model` runs many. */

import t from 'tap';
import { runStorage } from './storage.ts';

for (const seed of [11, 12]) {
  t.test(`seed ${seed}`, async (t) => {
    await runStorage(t.testdir(), seed, 60);
    t.pass('the table and the model agree');
  });
}

/** A few seeds of the model of sessions; `npm run model` runs many. */

import t from 'tap';
import { runSessions } from './sessions.ts';

for (const seed of [21, 22]) {
  t.test(`seed ${seed}`, async (t) => {
    await runSessions(t.testdir(), seed, 60);
    t.pass('sessions and the model agree');
  });
}

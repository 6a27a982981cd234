/** A short sample of `npm run links`: schedules of a link, judged; over a wire where it can be had, else over a proxy. */

import t from 'tap';
import { proxyLink } from './proxy-link.ts';
import { runSchedules } from './run-schedules.ts';
import { wireLink, wireObstacle } from './wire-link.ts';

t.setTimeout(60_000);
t.test('two schedules lose nothing, repeat nothing, and leave both sides equal', async (t) => {
  const obstacle = wireObstacle();
  const folder = t.testdir();
  if (obstacle !== false) t.comment(`no packet loss: ${obstacle}`);
  const link = obstacle === false ? await wireLink(folder) : proxyLink();
  t.teardown(() => link.close());
  const { faults, accepted } = await runSchedules({
    folder,
    link,
    schedules: 2,
    seed: 7,
    say: (line) => t.comment(line),
  });
  // How soon state is equal is measured by the command: here other tests share the machine.
  t.same(
    faults.filter((fault) => !fault.includes('after the heal')),
    [],
  );
  t.ok(accepted > 20, `${accepted} messages`);
});

/** A short sample of `npm run links`: schedules of a link, judged; over a wire where it can be had, else over a proxy. */

import t from 'tap';
import { Histories } from './histories.ts';
import { proxyLink } from './proxy-link.ts';
import { runSchedules } from './run-schedules.ts';
import { wireLink, wireObstacle } from './wire-link.ts';

t.setTimeout(60_000);
t.test('a write that is gone and that nobody reported is found', async (t) => {
  const histories = new Histories();
  for (const write of ['e1', 'c1', 'e2']) {
    histories.sending('k', write);
    histories.confirmed('k', write);
  }
  t.match(histories.faults('k', { e1: 1, e2: 1 }, false), [/1 writes gone without a report: c1/]);
  histories.reported({ id: '1', flow: 'f', key: 'k', local: { e1: 1, e2: 1 }, remote: { c1: 1 } });
  t.same(histories.faults('k', { e1: 1, e2: 1 }, false), []);
  t.match(histories.faults('k', { e1: 1, e2: 1 }, true), [/1 writes gone/], 'a merge keeps all');
  t.match(histories.faults('k', { e1: 1, c1: 1, e2: 1, x: 1 }, true), [/invented x/]);
});

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

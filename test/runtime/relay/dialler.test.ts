import t from 'tap';
import { createDialler } from '../../../runtime/relay/dialler.ts';
import type { EdgeSession } from '../../../runtime/relay/edge-session.ts';
import { fakeClock } from '../../support/fake-clock.ts';
import { seededRandom } from '../../support/seeded-random.ts';

/** Attempts that end when the test says so. */
function rig() {
  const clock = fakeClock();
  const log: string[] = [];
  const attempts: { opened(): void; fail(reason: string): void; refuse(): void }[] = [];
  const dialler = createDialler({
    clock,
    random: seededRandom(3),
    prepare: async () => {},
    open: (events) => {
      const number = attempts.length;
      let over = false;
      const session = {
        name: number,
        close: (reason: string) => {
          if (over) return;
          over = true;
          log.push(`${number} closed: ${reason}`);
          events.closed(reason, reason === 'refused by the relay');
        },
      } as unknown as EdgeSession;
      attempts.push({
        opened: () => events.opened(session),
        fail: (reason) => session.close(reason),
        refuse: () => session.close('refused by the relay'),
      });
      return session;
    },
    chosen: (session) => void log.push(`chosen ${(session as unknown as { name: number }).name}`),
    failed: (reason) => void log.push(`failed: ${reason}`),
    ended: (_session, reason) => void log.push(`ended: ${reason}`),
  });
  return { clock, log, attempts, dialler };
}

t.test('one attempt at a time where nobody is in a hurry', async (t) => {
  const { clock, log, attempts, dialler } = rig();
  dialler.after(500);
  await clock.advance(499);
  t.equal(attempts.length, 0);
  await clock.advance(10_000);
  t.equal(attempts.length, 1);
  attempts[0]?.fail('refused');
  t.same(log, ['0 closed: refused', 'failed: refused']);
  dialler.close();
});

t.test(
  'a hurry shortens a pause, and starts attempts beside those under way, ever more rarely',
  async (t) => {
    const { clock, log, attempts, dialler } = rig();
    dialler.after(0);
    await clock.advance(0);
    attempts[0]?.fail('refused');
    dialler.after(30_000);
    const begun: number[] = [];
    for (let ms = 0; ms < 20_000; ms += 100) {
      dialler.hurry();
      const before = attempts.length;
      await clock.advance(100);
      if (attempts.length > before) begun.push(ms + 100);
    }
    t.equal(begun.length, 4, `at ${begun.join(', ')} ms, and no more than four together`);
    t.ok((begun[0] ?? 0) <= 1300, 'soon');
    t.ok((begun[3] ?? 0) - (begun[2] ?? 0) > (begun[1] ?? 0) - (begun[0] ?? 0), begun.join());
    log.length = 0;
    attempts[2]?.fail('timed out');
    t.same(log, ['2 closed: timed out'], 'others go on');
    attempts[3]?.opened();
    t.match(log.slice(1), [
      '1 closed: another attempt was faster',
      '4 closed: another attempt was faster',
      'chosen 3',
    ]);
    attempts[1]?.opened();
    t.equal(
      log.filter((line) => line.startsWith('chosen')).length,
      1,
      'what was dropped does not come through later',
    );
    attempts[3]?.fail('cut');
    t.equal(log.at(-1), 'ended: cut');
    dialler.close();
  },
);

t.test('a relay that turns the node away is not hurried', async (t) => {
  const { clock, attempts, dialler } = rig();
  dialler.after(0);
  await clock.advance(0);
  for (let times = 1; times < 5; times += 1) {
    attempts.at(-1)?.refuse();
    dialler.hurry();
    await clock.advance(2000);
    t.equal(attempts.length, times + 1, 'a few times may be chance');
  }
  attempts.at(-1)?.refuse();
  dialler.after(30_000);
  for (let ms = 0; ms < 29_000; ms += 500) {
    dialler.hurry();
    await clock.advance(500);
  }
  t.equal(attempts.length, 5);
  await clock.advance(2000);
  t.equal(attempts.length, 6);
  attempts[5]?.opened();
  attempts[5]?.fail('cut');
  dialler.hurry();
  await clock.advance(2000);
  t.equal(attempts.length, 7, 'until it lets the node in');
  dialler.close();
});

t.test('nothing begins after the end', async (t) => {
  const { clock, log, attempts, dialler } = rig();
  dialler.after(0);
  await clock.advance(0);
  dialler.close();
  dialler.hurry();
  await clock.advance(60_000);
  t.equal(attempts.length, 1);
  t.same(log, ['0 closed: the node is closing']);
});

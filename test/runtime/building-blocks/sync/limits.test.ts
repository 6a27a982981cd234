/** What a flow may use of its link, on a clock of the test. */

import t from 'tap';
import { createLimiter } from '../../../../runtime/building-blocks/sync/limits.ts';
import { createTurns } from '../../../../runtime/building-blocks/sync/turns.ts';
import { fakeClock } from '../../../support/fake-clock.ts';

const signal = new AbortController().signal;
const NONE = { maxRate: 0, maxBytesPerHour: 0, quietHours: [] };
const MIDNIGHT = Temporal.Instant.from('2026-01-01T00:00:00Z').epochMilliseconds;

t.test('nothing is limited without limits', async (t) => {
  const limiter = createLimiter(NONE, fakeClock());
  t.notOk(limiter.limited);
  await limiter.take(1_000_000, 1_000_000, signal);
  t.equal(limiter.closed(), undefined);
});

t.test('messages a second', async (t) => {
  const clock = fakeClock();
  const limiter = createLimiter({ ...NONE, maxRate: 2 }, clock);
  let taken = 0;
  const run = async (): Promise<void> => {
    for (; taken < 10; taken += 1) await limiter.take(1, 1, signal);
  };
  const running = run();
  await clock.advance(0);
  t.equal(taken, 2, 'one second’s worth at once');
  await clock.advance(1000);
  t.equal(taken, 4);
  await clock.advance(3000);
  await running;
});

t.test('bytes an hour', async (t) => {
  const clock = fakeClock();
  const limiter = createLimiter({ ...NONE, maxBytesPerHour: 100 }, clock);
  await limiter.take(1, 90, signal);
  let more = false;
  const waiting = limiter.take(1, 50, signal).then(() => {
    more = true;
  });
  await clock.advance(30 * 60_000);
  t.notOk(more);
  await limiter.take(1, 10, signal);
  t.match(limiter.closed(), { reason: 'the bytes of this hour are spent' });
  await clock.advance(31 * 60_000);
  await waiting;
  t.ok(more);
  const stop = new AbortController();
  const given = limiter.take(1, 80, stop.signal);
  stop.abort(new Error('closing'));
  await t.rejects(given, { message: 'closing' });
});

t.test('quiet hours across midnight', async (t) => {
  const quietHours = [[22 * 60, 6 * 60]] as const;
  const at = (hour: number, minute: number) =>
    createLimiter(
      { ...NONE, quietHours },
      fakeClock(MIDNIGHT + (hour * 60 + minute) * 60_000),
      'UTC',
    ).closed();
  t.equal(at(21, 59), undefined);
  t.same(at(22, 0), { reason: 'quiet hours', forMs: 8 * 3_600_000 });
  t.same(at(5, 59), { reason: 'quiet hours', forMs: 60_000 });
  t.equal(at(6, 0), undefined);
});

t.test('the most urgent of those that wait goes first', async (t) => {
  const turns = createTurns();
  const order: string[] = [];
  let open: () => void = () => {};
  const first = turns.run('link', 1, () => new Promise<void>((resolve) => (open = resolve)));
  const rest = [
    turns.run('link', 2, async () => void order.push('two')),
    turns.run('link', 9, async () => void order.push('nine')),
    turns.run('link', 2, async () => void order.push('two again')),
    turns.run('other', 0, async () => void order.push('another link')),
  ];
  await Promise.resolve();
  open();
  await Promise.all([first, ...rest]);
  t.same(order, ['another link', 'nine', 'two', 'two again']);
});

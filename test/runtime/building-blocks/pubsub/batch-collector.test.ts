import t from 'tap';
import { createBatchCollector } from '../../../../runtime/building-blocks/pubsub/batch-collector.ts';
import type { IncomingMessage } from '../../../../runtime/contracts/pubsub.ts';
import { fakeClock } from '../../../support/fake-clock.ts';

const { signal } = new AbortController();
const message = (text: string): IncomingMessage => ({ topic: 't', data: Buffer.from(text), metadata: {} });

function make(options: { maxMessages?: number; maxAwaitMs?: number } = {}) {
  const clock = fakeClock();
  const batches: string[][] = [];
  let release: (() => void) | undefined;
  const gate = { hold: false };
  const collector = createBatchCollector({
    maxMessages: options.maxMessages ?? 2,
    maxAwaitMs: options.maxAwaitMs ?? 100,
    clock,
    handle: async (messages) => {
      batches.push(messages.map((m) => Buffer.from(m.data).toString()));
      if (gate.hold)
        await new Promise<void>((resolve) => {
          release = resolve;
        });
      return messages.map((m) =>
        Buffer.from(m.data).toString() === 'bad' ? new Error('bad one') : undefined,
      );
    },
  });
  return { clock, batches, collector, gate, release: () => release?.() };
}

t.test('a full batch goes out at once, a partial one after the wait', async (t) => {
  const { clock, batches, collector } = make();
  const first = [collector.handler(message('a'), signal), collector.handler(message('b'), signal)];
  await Promise.all(first);
  t.same(batches, [['a', 'b']]);
  const third = collector.handler(message('c'), signal);
  await clock.advance(99);
  t.equal(batches.length, 1);
  await clock.advance(1);
  await third;
  t.same(batches[1], ['c']);
  t.equal(clock.pending, 0);
});

t.test('each message gets its own result', async (t) => {
  const { collector } = make();
  const [good, bad] = [collector.handler(message('a'), signal), collector.handler(message('bad'), signal)];
  await t.resolves(good);
  await t.rejects(bad, { message: 'bad one' });
});

t.test('one batch at a time, in order; the rest gets a full wait of its own', async (t) => {
  const { clock, batches, collector, gate, release } = make();
  gate.hold = true;
  const all = ['a', 'b', 'c', 'd', 'e'].map((text) => collector.handler(message(text), signal));
  await clock.advance(1000);
  t.same(batches, [['a', 'b']]);
  gate.hold = false;
  release();
  await clock.advance(0);
  t.same(batches, [
    ['a', 'b'],
    ['c', 'd'],
  ]);
  await clock.advance(100);
  await Promise.all(all);
  t.same(batches[2], ['e']);
});

t.test('flush sends what waits', async (t) => {
  const { batches, collector } = make();
  const waiting = collector.handler(message('a'), signal);
  collector.flush();
  await waiting;
  t.same(batches, [['a']]);
});

t.test('a handler that fails fails all of its batch', async (t) => {
  const collector = createBatchCollector({
    maxMessages: 2,
    maxAwaitMs: 0,
    clock: fakeClock(),
    handle: () => Promise.reject(new Error('down')),
  });
  const results = await Promise.allSettled([
    collector.handler(message('a'), signal),
    collector.handler(message('b'), signal),
  ]);
  t.match(results, [{ reason: { message: 'down' } }, { reason: { message: 'down' } }]);
});

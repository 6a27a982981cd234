import t from 'tap';
import type { FinishedSpan } from '../../../runtime/contracts/trace.ts';
import { ExportError, SpanQueue, type SpanSink } from '../../../runtime/telemetry/span-queue.ts';
import { fakeClock } from '../../support/fake-clock.ts';
import { recordingLogger } from '../../support/recording-logger.ts';
import { finishedSpan } from './finished-span.ts';

type Send = (spans: readonly FinishedSpan[], signal: AbortSignal) => Promise<void>;

const rig = (send: Send, limits = { maxSpans: 6, batchSpans: 3, delayMs: 5000, exportMs: 60_000 }) => {
  const clock = fakeClock();
  const log = recordingLogger();
  const dropped: number[] = [];
  const batches: string[][] = [];
  const state = { closed: false };
  const sink: SpanSink = {
    target: 'the test',
    timeoutMs: 10_000,
    send: (spans, signal) => {
      batches.push(spans.map(({ name }) => name));
      return send(spans, signal);
    },
    close: async () => {
      state.closed = true;
    },
  };
  const metrics = {
    count: (_name: string, _labels: unknown, amount = 1): void => void dropped.push(amount),
  };
  const queue = new SpanQueue({ sink, limits, clock, log, metrics });
  const add = (...names: string[]): void => {
    for (const name of names) queue.add(finishedSpan({ name }));
  };
  return {
    clock,
    log,
    batches,
    queue,
    add,
    state,
    get dropped() {
      return dropped.reduce((sum, amount) => sum + amount, 0);
    },
  };
};

/** Never answers; rejects when told to stop. */
const silent: Send = (_spans, signal) =>
  new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)));

t.test('spans leave after the delay, or when a batch is full', async (t) => {
  const { clock, batches, add } = rig(async () => {});
  add('a', 'b');
  await clock.advance(4999);
  t.strictSame(batches, []);
  await clock.advance(1);
  t.strictSame(batches, [['a', 'b']]);
  add('c', 'd', 'e');
  await clock.advance(0);
  t.strictSame(batches[1], ['c', 'd', 'e']);
  add('f');
  await clock.advance(5000);
  t.strictSame(batches[2], ['f']);
});

t.test('a full queue drops and counts, and nobody waits', async (t) => {
  const rigged = rig(silent);
  rigged.add('1', '2', '3');
  await rigged.clock.advance(0);
  rigged.add('4', '5', '6', '7', '8', '9', '10', '11');
  t.equal(rigged.dropped, 2, 'three are on their way, six wait');
  t.equal(rigged.batches.length, 1);
});

t.test('a collector that is away is tried again, told once, and given up in the end', async (t) => {
  let away = true;
  const rigged = rig(async () => {
    if (away) throw new Error('connection refused');
  });
  rigged.add('a');
  await rigged.clock.advance(5000);
  await rigged.clock.advance(5000);
  t.equal(rigged.batches.length, 2, 'tried again after five seconds');
  away = false;
  await rigged.clock.advance(7500);
  t.equal(rigged.batches.length, 3);
  t.strictSame(
    rigged.log.lines.map(({ level, message }) => `${level} ${message}`),
    [
      'warn traces do not reach the test: connection refused; they are kept as long as there is room',
      'info traces reach the test again',
    ],
  );
  away = true;
  rigged.add('b');
  await rigged.clock.advance(120_000);
  t.equal(rigged.dropped, 1);
});

t.test('what the collector refuses for good is not sent again', async (t) => {
  const rigged = rig(async () => {
    throw new ExportError('status 400', false);
  });
  rigged.add('a');
  await rigged.clock.advance(60_000);
  t.equal(rigged.batches.length, 1);
  t.equal(rigged.dropped, 1);
});

t.test('a batch has a limit of its own, attempts and waits together', async (t) => {
  const limits = { maxSpans: 6, batchSpans: 3, delayMs: 1000, exportMs: 4000 };
  const slow = rig(silent, limits);
  slow.add('a');
  await slow.clock.advance(1000);
  await slow.clock.advance(4000);
  t.equal(slow.dropped, 1, 'before the limit of an attempt');
  const away = rig(async () => {
    throw new Error('connection refused');
  }, limits);
  away.add('a');
  await away.clock.advance(1000);
  t.equal(away.dropped, 1, 'a wait would be longer than what is left');
});

t.test('an attempt has its limit', async (t) => {
  const rigged = rig(silent);
  rigged.add('a');
  await rigged.clock.advance(5000);
  await rigged.clock.advance(10_000);
  t.match(rigged.log.lines[0]?.message, /did not answer in time/);
});

t.test('a close sends what waits', async (t) => {
  const rigged = rig(async () => {});
  rigged.add('a', 'b');
  await rigged.queue.close(1000);
  t.strictSame(rigged.batches, [['a', 'b']]);
  t.equal(rigged.state.closed, true);
  rigged.add('late');
  t.equal(rigged.dropped, 1);
  t.equal(rigged.clock.pending, 0);
});

t.test('a close keeps to its time when the collector is silent', async (t) => {
  const rigged = rig(silent);
  rigged.add('a', 'b', 'c', 'd');
  await rigged.clock.advance(0);
  const closed = rigged.queue.close(1000);
  await rigged.clock.advance(1000);
  await closed;
  t.equal(rigged.dropped, 4);
  t.equal(rigged.state.closed, true);
});

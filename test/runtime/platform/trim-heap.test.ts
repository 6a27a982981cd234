/** Dead buffers of streams are collected as they pass; many calls in progress make the heap grow in small steps. */

import t from 'tap';
import { callBegins, callEnds, onManyCalls } from '../../../runtime/contracts/calls-in-progress.ts';
import { countPassing, onPassing, PASSING_STEP_BYTES } from '../../../runtime/contracts/passing-bytes.ts';
import { trimHeapOfManyCalls, trimHeapWhileStreaming } from '../../../runtime/platform/trim-heap.ts';
import { fakeClock } from '../../support/fake-clock.ts';

t.afterEach(() => {
  onPassing(undefined);
  onManyCalls(undefined);
});

t.test('the listener is told at every step', (t) => {
  let told = 0;
  countPassing(PASSING_STEP_BYTES);
  onPassing(() => {
    told += 1;
  });
  countPassing(PASSING_STEP_BYTES - 1);
  t.equal(told, 0);
  countPassing(1);
  t.equal(told, 1);
  for (let n = 0; n < 8; n += 1) countPassing(PASSING_STEP_BYTES / 4);
  t.equal(told, 3);
  t.end();
});

t.test('what has passed does not stay in memory', (t) => {
  trimHeapWhileStreaming();
  const chunk = 64 * 1024;
  const before = process.memoryUsage().arrayBuffers;
  let most = 0;
  for (let n = 0; n < 4096; n += 1) {
    Buffer.allocUnsafeSlow(chunk).fill(1);
    countPassing(chunk);
    if (n % 16 === 0) most = Math.max(most, process.memoryUsage().arrayBuffers - before);
  }
  t.ok(most < 3 * PASSING_STEP_BYTES, `${most >> 20} MB of 256 MB at most`);
  t.end();
});

t.test('calls are many from 1000 on, and few again at 250', (t) => {
  const told: boolean[] = [];
  onManyCalls((many) => told.push(many));
  const times = (count: number, what: () => void): void => {
    for (let n = 0; n < count; n += 1) what();
  };
  times(999, callBegins);
  t.strictSame(told, []);
  times(1, callBegins);
  times(500, callBegins);
  t.strictSame(told, [true], 'told once');
  times(1249, callEnds);
  t.strictSame(told, [true]);
  times(1, callEnds);
  times(250, callEnds);
  t.strictSame(told, [true, false]);
  t.end();
});

t.test('what many calls left is collected when it is quiet', async (t) => {
  const clock = fakeClock();
  trimHeapOfManyCalls(clock);
  for (let n = 0; n < 1000; n += 1) callBegins();
  let garbage: object[] | undefined = Array.from({ length: 1000 }, () => ({}));
  const kept = new WeakRef(garbage);
  garbage = undefined;
  for (let n = 0; n < 1000; n += 1) callEnds();
  // The clock is not the system's, so the work of this test may fall into the second: another one follows. Nobody may
  // look at the reference before, since that keeps what it leads to.
  for (let second = 0; second < 5; second += 1) {
    await new Promise((resolve) => setImmediate(resolve));
    await clock.advance(1000);
  }
  await new Promise((resolve) => setImmediate(resolve));
  t.equal(kept.deref(), undefined);
});

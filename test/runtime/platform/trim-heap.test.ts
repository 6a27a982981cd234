/** Dead buffers of streams are collected as they pass. */

import t from 'tap';
import { countPassing, onPassing, PASSING_STEP_BYTES } from '../../../runtime/contracts/passing-bytes.ts';
import { trimHeapWhileStreaming } from '../../../runtime/platform/trim-heap.ts';

t.afterEach(() => onPassing(undefined));

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

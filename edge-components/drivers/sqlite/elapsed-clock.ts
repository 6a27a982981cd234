/**
 * Time that only ever passes while the node runs. It goes on where the last commit left it, so a message's time to live
 * survives restarts and is untouched by a wall clock that starts at 1970 or jumps. Time while the power was off cannot
 * be measured and does not count: a message may live longer than asked, never shorter.
 */

import type { Clock } from '../../../runtime/contracts/clock.ts';

/** Elapsed milliseconds, continuing at `base`. */
export function elapsedClock(clock: Clock, base: number): () => number {
  const start = clock.monotonicMs();
  return () => Math.floor(base + clock.monotonicMs() - start);
}

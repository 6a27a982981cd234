/** Growing pauses with jitter, so that clients which lost one broker together do not return together. */

import type { Random } from '../../../runtime/contracts/random.ts';

/** Pause before attempt `attempt` (from 1): half of the doubled base up to all of it, at most `maxMs`. */
export function backoffMs(attempt: number, baseMs: number, maxMs: number, random: Random): number {
  const full = Math.min(maxMs, baseMs * 2 ** Math.min(attempt - 1, 30));
  return full / 2 + (random.float() * full) / 2;
}

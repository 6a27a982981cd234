/**
 * Hybrid logical time (Kulkarni et al., 2014): near to the wall clock, yet later than everything seen before, so that a
 * write made after another one was seen is always later than it, whatever the clocks say. One number: milliseconds since
 * 1970 and, below them, a counter; it stays a safe integer until the year 2248. The journal of `state.sqlite` makes the
 * same numbers in SQL.
 */

/** Counts within one millisecond; more than that borrow from the next one. */
export const STAMPS_PER_MS = 1024;

/** The stamp of an event now, on a node whose latest known stamp is `last`. */
export function nextStamp(last: number, nowMs: number): number {
  return Math.max(last + 1, Math.floor(nowMs) * STAMPS_PER_MS);
}

/** The latest known stamp after one from elsewhere was seen. */
export function seenStamp(last: number, seen: number): number {
  return Number.isSafeInteger(seen) && seen > last ? seen : last;
}

/** Wall clock milliseconds of a stamp. */
export function stampMs(stamp: number): number {
  return Math.floor(stamp / STAMPS_PER_MS);
}

/** What is wrong with a disk, and the comparisons that find out. */

import { before, type History, largest } from './claims.ts';

/** What is wrong with a disk; an empty list is the only good answer. */
export interface Verdict {
  readonly lost: string[];
  readonly invented: string[];
  readonly stuck: string[];
  /** Databases that were set aside, and why: `skerry.db.damaged-1: reason`. */
  readonly aside: string[];
  /** Values that were told to be damaged instead of being taken for right. */
  readonly told: string[];
}

export type Known = ReadonlyMap<string, History>;

/** The histories of one channel. */
export function withPrefix(known: Known, prefix: string): History[] {
  return [...known.values()].filter(({ key }) => key.startsWith(prefix));
}

/** A value that is replaced again and again: not older than acknowledged, not newer than tried. */
export function judgeValue(history: History, cut: number, value: number | undefined, verdict: Verdict): void {
  const { key, deletes } = history;
  const acked = largest(before(history.acked, cut));
  const tried = before(history.tried, cut);
  if (value === undefined) {
    const removed = tried.some((n) => n >= acked && deletes.has(n));
    if (acked > 0 && !removed) verdict.lost.push(`${key}: absent, ${acked} was acknowledged`);
  } else if (value < acked) verdict.lost.push(`${key}: ${value}, ${acked} was acknowledged`);
  else if (!tried.includes(value) || deletes.has(value))
    verdict.invented.push(`${key}: ${value} was never set`);
}

/** Messages in a queue: everything acknowledged and not received, nothing never tried, each once, in order. */
export function judgeQueue(
  { key, tried, acked }: History,
  cut: number,
  queued: readonly number[],
  received: ReadonlySet<number>,
  verdict: Verdict,
  inOrder = true,
): void {
  const there = new Set(queued);
  for (const n of before(acked, cut))
    if (!there.has(n) && !received.has(n)) verdict.lost.push(`${key}: message ${n}`);
  for (const n of there)
    if ((tried.get(n) ?? Number.POSITIVE_INFINITY) >= cut) verdict.invented.push(`${key}: message ${n}`);
  if (there.size !== queued.length) verdict.invented.push(`${key}: a message twice: ${queued}`);
  if (inOrder && queued.some((n, index) => n < (queued[index - 1] ?? 0)))
    verdict.invented.push(`${key}: out of order: ${queued}`);
}

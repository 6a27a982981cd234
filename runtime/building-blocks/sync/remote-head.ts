/**
 * What a state flow keeps at the other side, among the values and in the same transactions: a head that says which batch
 * was applied last, so that a batch whose answer was lost is recognised, and, where several Syncs share a `journal`, a
 * ring of entries that say which keys each batch changed and when, for the others to follow.
 */

import type { SideRecord } from './state-side.ts';

/** `n` counts the batches, `b` is the last one's id. */
export interface Head {
  readonly n: number;
  readonly batch: string;
  readonly etag: string | undefined;
}

/** What one batch changed: remote keys and the times of their writes. */
export interface JournalPage {
  readonly n: number;
  readonly batch: string;
  readonly changes: readonly (readonly [key: string, stamp: number])[];
}

/** Batches that can be followed; who was away for more of them starts from what is left. */
export const RING = 1024;

export function headOf(record: SideRecord | undefined): Head {
  if (record === undefined) return { n: 0, batch: '', etag: undefined };
  const { n, b } = parsed(record);
  if (typeof n !== 'number' || typeof b !== 'string') {
    throw new Error('the key where this Sync keeps its place holds something else over there');
  }
  return { n, batch: b, etag: record.etag };
}

export function headBytes(n: number, batch: string): Buffer {
  return Buffer.from(JSON.stringify({ n, b: batch }));
}

export const pageKey = (headKey: string, n: number): string => `${headKey}.${n % RING}`;

export function pageBytes({ n, batch, changes }: JournalPage): Buffer {
  return Buffer.from(JSON.stringify({ n, b: batch, c: changes }));
}

/** `undefined` when the ring has gone over it, or something else stands there. */
export function pageOf(record: SideRecord | undefined, n: number): JournalPage | undefined {
  if (record === undefined) return undefined;
  const { n: at, b, c } = parsed(record);
  if (at !== n || typeof b !== 'string' || !Array.isArray(c)) return undefined;
  const changes = c.filter(
    (entry): entry is [string, number] =>
      Array.isArray(entry) && typeof entry[0] === 'string' && typeof entry[1] === 'number',
  );
  return { n, batch: b, changes };
}

function parsed(record: SideRecord): { readonly n?: unknown; readonly b?: unknown; readonly c?: unknown } {
  const value: unknown = JSON.parse(record.text);
  return typeof value === 'object' && value !== null ? value : {};
}

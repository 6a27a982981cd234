/**
 * Remembers which messages left and why, in the write that takes them out. Sixteen bytes each, the oldest forgotten first,
 * so that the memory costs the card next to nothing.
 */

import type { Database, SqlStep } from '../../../runtime/contracts/database.ts';
import { SPOOL_SQL } from './spool-schema.ts';

export interface GoneMessage {
  readonly id: string;
  readonly why: string;
}

const MAX_REMEMBERED = 50_000;
const MAX_BATCHES = 10_000;
const ID_BYTES = 16;

export class SpoolGone {
  readonly #batches: { readonly batch: number; readonly count: number }[];
  #remembered = 0;
  #next: number;

  constructor(database: Database) {
    this.#batches = database
      .read(SPOOL_SQL.goneBatches)
      .map((row) => ({ batch: Number(row['batch']), count: Number(row['count']) }));
    for (const { count } of this.#batches) this.#remembered += count;
    this.#next = (this.#batches.at(-1)?.batch ?? 0) + 1;
  }

  /** Steps that note these messages and forget the oldest ones. */
  steps(queueId: number, messages: readonly GoneMessage[], now: number): SqlStep[] {
    if (messages.length === 0) return [];
    const steps: SqlStep[] = [];
    for (const [why, ids] of Map.groupBy(messages, (message) => message.why)) {
      const bytes = Buffer.concat(ids.map(({ id }) => idBytes(id)));
      const count = bytes.length / ID_BYTES;
      if (count === 0) continue;
      steps.push({ sql: SPOOL_SQL.gone, params: [this.#next, queueId, why, now, bytes] });
      this.#batches.push({ batch: this.#next, count });
      this.#remembered += count;
      this.#next += 1;
    }
    let forget: number | undefined;
    while (this.#remembered > MAX_REMEMBERED || this.#batches.length > MAX_BATCHES) {
      const oldest = this.#batches.shift();
      if (oldest === undefined) break;
      this.#remembered -= oldest.count;
      forget = oldest.batch;
    }
    if (forget !== undefined) steps.push({ sql: SPOOL_SQL.forgetGone, params: [forget] });
    return steps;
  }
}

/** The 16 bytes of a UUID; nothing for what is none. */
export function idBytes(id: string): Buffer {
  const bytes = Buffer.from(id.replaceAll('-', ''), 'hex');
  return bytes.length === ID_BYTES ? bytes : Buffer.alloc(0);
}

/** Whether `ids` holds `id`. */
export function holdsId(ids: Uint8Array, id: Buffer): boolean {
  const list = Buffer.from(ids.buffer, ids.byteOffset, ids.byteLength);
  for (let at = list.indexOf(id); at >= 0; at = list.indexOf(id, at + 1))
    if (at % ID_BYTES === 0) return true;
  return false;
}

/**
 * Rows of a queue read ahead, many at a time in the order they lie in the file: finding the oldest message of each key by
 * itself is what working off a long queue would spend most of its time on.
 *
 * An entry at the front of the window is the oldest of its key when everything that waits has one priority; where priorities
 * mix, an older message of the key may wait in a lower lane, and the key must be looked up.
 */

import type { Database, SqlValue } from '../../../runtime/contracts/database.ts';
import { SPOOL_SQL } from './spool-schema.ts';
import type { WindowEntry } from './spool-window.ts';

type Row = Readonly<Record<string, SqlValue>>;

const ROWS_PER_READ = 128;
const MAX_ROWS = 512;
/** Larger messages are read one by one, when it is their turn. */
const MAX_ROW_BYTES = 4096;

export class SpoolAhead {
  readonly #database: Database;
  readonly #queueId: number;
  readonly #rows = new Map<number, Row>();
  /** Entries up to this sequence are the oldest of their keys; 0: nothing is known. */
  #safeUpTo = 0;
  #lane = 0;
  #readUpTo = 0;

  constructor(database: Database, queueId: number) {
    this.#database = database;
    this.#queueId = queueId;
  }

  /** The only priority of what waits now; `undefined` when there are several. Asked before the window is read. */
  lane(): number | undefined {
    const [lanes] = this.#database.read(SPOOL_SQL.lanes, [this.#queueId, this.#queueId]);
    const lane = lanes?.['lowest'];
    return lane === undefined || lane === null || lane !== lanes?.['highest'] ? undefined : Number(lane);
  }

  /** The window was read: up to `last` it holds everything that waits. */
  loaded(lane: number | undefined, last: number | undefined): void {
    this.#safeUpTo = lane === undefined || last === undefined ? 0 : last;
    this.#lane = lane ?? 0;
  }

  /** A message was added behind the back of the window. */
  added({ sequence, priority }: WindowEntry): void {
    if (sequence <= this.#safeUpTo && priority !== this.#lane) this.forget();
  }

  forget(): void {
    this.#rows.clear();
    this.#safeUpTo = 0;
    this.#readUpTo = 0;
  }

  /** The row of an entry that is the oldest of its key; `undefined`: it is to be looked up. */
  take({ sequence }: WindowEntry): Row | undefined {
    if (sequence > this.#safeUpTo) return undefined;
    if (sequence > this.#readUpTo) this.#read(sequence);
    const row = this.#rows.get(sequence);
    this.#rows.delete(sequence);
    return row;
  }

  #read(from: number): void {
    const params = [this.#queueId, this.#lane, from, this.#safeUpTo, MAX_ROW_BYTES, ROWS_PER_READ];
    const rows = this.#database.read(SPOOL_SQL.ahead, params);
    for (const row of rows) this.#rows.set(Number(row['sequence']), row);
    this.#readUpTo =
      rows.length < ROWS_PER_READ ? this.#safeUpTo : Number(rows.at(-1)?.['sequence'] ?? this.#safeUpTo);
    // The oldest of them wait behind others of their keys.
    for (const sequence of this.#rows.keys()) {
      if (this.#rows.size <= MAX_ROWS) break;
      this.#rows.delete(sequence);
    }
  }
}

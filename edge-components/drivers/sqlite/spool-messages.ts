/**
 * The pending messages of one queue: what is on disk minus what is already decided but not yet committed. Gives the
 * next message to deliver, keeping order per key, and takes messages out of the queue.
 */

import type { Database, SqlValue } from '../../../runtime/contracts/database.ts';
import { errorText } from '../../../runtime/contracts/error.ts';
import type { StoredMessage } from '../../../runtime/contracts/spool.ts';
import type { CborRecord } from '../cbor/record.ts';
import { SpoolAhead } from './spool-ahead.ts';
import { DEPARTURE_WAIT_MS, type SpoolLedger } from './spool-ledger.ts';
import { acceptedAtOf, idOf, recordOf } from './spool-record.ts';
import { SPOOL_SQL } from './spool-schema.ts';
import { SpoolWindow, type WindowEntry } from './spool-window.ts';

/** Why a message leaves the queue. */
export type Departure = 'delivered' | 'expired' | 'full' | 'removed';

export interface Removable {
  readonly id: string;
  readonly sequence: number;
  readonly bytes: number;
  readonly parked: boolean;
}

/** A message on its way to the target. */
export interface Candidate extends Removable {
  readonly message: StoredMessage;
}

type Row = Readonly<Record<string, SqlValue>>;

/** Departures that may wait for their commit before deliveries pause. */
const MAX_UNCOMMITTED = 1024;
/** Rows looked at per pick, so that a run of expired messages does not hold up the event loop. */
const MAX_LOOKS = 64;
/** Live messages remembered as such; more of them wait their turn in the backlog. */
const MAX_LIVE = 1024;
/** Every so many picks go to the backlog, however much that is new comes in. */
const BACKLOG_SHARE = 4;
const LANES = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9];
const VICTIMS_PER_READ = 64;
/** Uncommitted departures beyond which a new arrival waits instead of pushing out more. */
const MAX_UNCOMMITTED_VICTIMS = 256;
const OVERDUE_PER_READ = 256;

export class SpoolMessages {
  readonly window = new SpoolWindow();
  readonly #ahead: SpoolAhead;
  readonly #database: Database;
  readonly #queueId: number;
  readonly #ledger: SpoolLedger;
  readonly #elapsed: () => number;
  /** Sequences that leave or are parked; their rows may still be seen. */
  readonly #leaving = new Set<number>();
  /** Per key, the last sequence that left from its head and is not committed: reading starts behind it. */
  readonly #passed = new Map<string, number>();
  /** Attempts not yet on disk. */
  readonly #attempts = new Map<number, number>();
  readonly #inFlight = new Map<string, number>();
  readonly #flying = new Set<number>();
  /** Arrived while a long backlog waits: they go first, but for the share of the backlog. */
  #live: WindowEntry[] = [];
  #picks = 0;
  /** Called when a message leaves, before the commit. */
  readonly #left: (bytes: number) => void;

  constructor(options: {
    readonly database: Database;
    readonly queueId: number;
    readonly ledger: SpoolLedger;
    readonly elapsed: () => number;
    readonly left: (bytes: number) => void;
  }) {
    this.#database = options.database;
    this.#queueId = options.queueId;
    this.#ahead = new SpoolAhead(options.database, options.queueId);
    this.#ledger = options.ledger;
    this.#elapsed = options.elapsed;
    this.#left = options.left;
  }

  get inFlight(): number {
    return this.#inFlight.size;
  }

  /** A message that was just committed. */
  added(entry: WindowEntry): void {
    if (this.#isTaken(entry.sequence)) return;
    this.#ahead.added(entry);
    this.window.add(entry);
    if (this.window.isFront && this.#live.length < MAX_LIVE) this.#live.push(entry);
  }

  /** The next message whose key is free, now in flight; `later` when looking on would take too long. */
  take(): Candidate | 'later' | undefined {
    if (this.#leaving.size >= MAX_UNCOMMITTED) return undefined;
    let looks = MAX_LOOKS;
    const live = this.#takeLive();
    if (live !== undefined) return live;
    for (;;) {
      if (this.window.exhausted) this.#load();
      const entry = this.window.first(this.#inFlight);
      if (entry === undefined) return undefined;
      const known = this.#knownHead(entry);
      if (known !== undefined) return this.#launch(known);
      const head = this.#head(entry.key, looks);
      looks = head.looks;
      if (head.candidate !== undefined) {
        return this.#launch(head.candidate);
      }
      if (looks <= 0) return 'later';
      this.window.removeKey(entry.key);
    }
  }

  #launch(candidate: Candidate): Candidate {
    this.window.remove(candidate.sequence);
    this.#inFlight.set(candidate.message.key, candidate.sequence);
    this.#flying.add(candidate.sequence);
    return candidate;
  }

  /**
   * A message that came while the backlog is being worked off, unless it is the backlog's turn. One whose key has a
   * backlog of its own is no live message: order goes before.
   */
  #takeLive(): Candidate | undefined {
    if (this.#live.length === 0) return undefined;
    this.#picks += 1;
    if (this.#picks % BACKLOG_SHARE === 0) return undefined;
    const lane = this.window.first(this.#inFlight)?.priority ?? 0;
    for (let at = 0; at < this.#live.length && at < MAX_LOOKS; at += 1) {
      const entry = this.#live[at] as WindowEntry;
      if (this.#inFlight.has(entry.key) || entry.priority < lane) continue;
      this.#live.splice(at, 1);
      at -= 1;
      if (this.#isTaken(entry.sequence)) continue;
      const { candidate } = this.#head(entry.key, 1);
      if (candidate?.sequence === entry.sequence) return this.#launch(candidate);
    }
    return undefined;
  }

  /** The attempt is over; the key is free again. */
  release(candidate: Candidate): void {
    this.#flying.delete(candidate.sequence);
    this.#inFlight.delete(candidate.message.key);
  }

  /** The message goes back to its place, with one more attempt. */
  putBack({ message, sequence }: Candidate, error: string): void {
    const attempts = message.attempts + 1;
    this.#attempts.set(sequence, attempts);
    // A target that is away must not wear the card: the number is written along with the next change that is one.
    this.#ledger.note(error, sequence, { sql: SPOOL_SQL.attempted, params: [attempts, sequence] });
    this.window.add({ sequence, key: message.key, priority: message.priority });
  }

  /** Sets the message aside. */
  park({ message, sequence }: Candidate, error: string): void {
    this.#setAside(sequence, message.key, message.attempts + 1, error);
  }

  /** Takes a message out for good; `key` when it is the head of its key. */
  depart(item: Removable, departure: Departure, key?: string): void {
    const { id, sequence, bytes, parked } = item;
    if (key === undefined) this.#leaving.add(sequence);
    else this.#pass(key, sequence);
    this.window.remove(sequence);
    this.#left(bytes);
    this.#ledger.add({
      steps: [{ sql: SPOOL_SQL.remove, params: [sequence] }],
      delta: { [departure]: 1, pending: -1, pendingBytes: -bytes, parked: parked ? -1 : 0 },
      bytes: 0,
      gone: { id, why: departure },
      waitMs: DEPARTURE_WAIT_MS,
      done: () => this.#forget(sequence, key),
    });
  }

  /** A parked message takes its place in its key again. */
  unpark(row: Row, done: () => void): void {
    const sequence = Number(row['sequence']);
    const key = String(row['key']);
    this.#ledger.add({
      steps: [{ sql: SPOOL_SQL.release, params: [sequence] }],
      delta: { parked: -1 },
      bytes: 0,
      done: () => {
        // Reading of its key may have to go back to it.
        this.#passed.delete(key);
        this.#ahead.forget();
        this.window.invalidate();
        done();
      },
    });
  }

  /** Whether a message is being delivered or about to leave. */
  isTaken(sequence: number): boolean {
    return this.#isTaken(sequence);
  }

  /** Messages to give up for a new one, oldest of the lowest lane first; `undefined` when there are not enough. */
  victims(enoughOf: (messages: number, bytes: number) => boolean): readonly Removable[] | undefined {
    if (this.#leaving.size >= MAX_UNCOMMITTED_VICTIMS) return undefined;
    const chosen: Removable[] = [];
    let freed = 0;
    const limit = VICTIMS_PER_READ + this.#leaving.size + this.#inFlight.size;
    const enough = (): boolean => enoughOf(chosen.length, freed);
    const choose = (rows: readonly Row[]): void => {
      for (const item of rows.map(removable)) {
        if (enough()) return;
        if (this.#isTaken(item.sequence)) continue;
        chosen.push(item);
        freed += item.bytes;
      }
    };
    choose(this.#database.read(SPOOL_SQL.oldestParked, [this.#queueId, limit]));
    for (const lane of LANES) {
      if (enough()) break;
      choose(this.#database.read(SPOOL_SQL.oldestOfLane, [this.#queueId, lane, limit]));
    }
    return enough() ? chosen : undefined;
  }

  /** Drops what outlived its time; true when there may be more. */
  dropOverdue(): boolean {
    if (this.#leaving.size >= MAX_UNCOMMITTED) return true;
    const limit = OVERDUE_PER_READ + this.#leaving.size + this.#inFlight.size;
    const rows = this.#database.read(SPOOL_SQL.overdue, [this.#queueId, this.#elapsed(), limit]);
    for (const item of rows.map(removable)) {
      if (!this.#isTaken(item.sequence)) this.depart(item, 'expired');
    }
    return rows.length === limit;
  }

  #isTaken(sequence: number): boolean {
    return this.#leaving.has(sequence) || this.#flying.has(sequence);
  }

  #load(): void {
    const limit = this.window.capacity + this.#leaving.size + this.#inFlight.size;
    const lane = this.#ahead.lane();
    const rows = this.#database.read(SPOOL_SQL.window, [this.#queueId, limit]);
    const last = rows.at(-1)?.['sequence'];
    this.#ahead.loaded(lane, typeof last === 'number' ? last : undefined);
    const entries = rows
      .map((row) => ({
        sequence: Number(row['sequence']),
        key: String(row['key']),
        priority: Number(row['priority']),
      }))
      .filter(({ sequence }) => !this.#isTaken(sequence));
    this.window.load(entries, rows.length < limit);
  }

  /** The message of an entry that was read ahead; `undefined` when it must be looked up, or is not to be sent. */
  #knownHead(entry: WindowEntry): Candidate | undefined {
    const row = this.#ahead.take(entry);
    if (row === undefined || (row['deadline'] !== null && Number(row['deadline']) <= this.#elapsed()))
      return undefined;
    return this.#candidate(row);
  }

  /** The oldest pending message of a key, past what is leaving and what has expired. */
  #head(key: string, looks: number): { candidate?: Candidate; looks: number } {
    let left = looks;
    let after = this.#passed.get(key) ?? 0;
    while (left > 0) {
      left -= 1;
      const row = this.#database.read(SPOOL_SQL.head, [this.#queueId, key, after])[0];
      if (row === undefined) return { looks: left };
      after = Number(row['sequence']);
      if (this.#leaving.has(after)) continue;
      if (row['deadline'] !== null && Number(row['deadline']) <= this.#elapsed()) {
        this.depart(removable(row), 'expired', key);
        continue;
      }
      const candidate = this.#candidate(row);
      if (candidate !== undefined) return { candidate, looks: left };
    }
    return { looks: left };
  }

  /** The message of a row; a damaged record is set aside so that it does not block its key. */
  #candidate(row: Row): Candidate | undefined {
    const item = removable(row);
    const key = String(row['key']);
    const attempts = this.#attempts.get(item.sequence) ?? Number(row['attempts']);
    let record: CborRecord;
    try {
      record = recordOf(row);
    } catch (error) {
      this.#setAside(item.sequence, key, attempts, `the stored record is damaged: ${errorText(error)}`);
      return undefined;
    }
    const message: StoredMessage = {
      id: item.id,
      sequence: item.sequence,
      key,
      priority: Number(row['priority']),
      acceptedAt: acceptedAtOf(row),
      attempts,
      headers: record.headers,
      payload: record.payload,
    };
    return { ...item, message };
  }

  #setAside(sequence: number, key: string, attempts: number, error: string): void {
    this.#pass(key, sequence);
    this.#ledger.add({
      steps: [{ sql: SPOOL_SQL.park, params: [attempts, error, sequence] }],
      delta: { parked: 1 },
      bytes: 0,
      lastError: error,
      done: () => this.#forget(sequence, key),
    });
  }

  #pass(key: string, sequence: number): void {
    this.#leaving.add(sequence);
    this.#passed.set(key, sequence);
  }

  #forget(sequence: number, key: string | undefined): void {
    this.#leaving.delete(sequence);
    this.#attempts.delete(sequence);
    if (key !== undefined && this.#passed.get(key) === sequence) this.#passed.delete(key);
  }
}

export function removable(row: Row): Removable {
  return {
    id: idOf(row),
    sequence: Number(row['sequence']),
    bytes: Number(row['bytes']),
    parked: Number(row['parked']) === 1,
  };
}

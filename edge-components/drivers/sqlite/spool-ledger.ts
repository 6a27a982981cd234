/**
 * Commits the changes of one queue. While one write is on its way the next changes gather, and each write carries the
 * queue's counters as absolute numbers: message rows and counters can never disagree on disk.
 *
 * Departures wait for a write that is made anyway: a commit of their own would cost the card as much as the message did.
 * What a power cut finds waiting is delivered once more.
 */

import type { Clock, Timer } from '../../../runtime/contracts/clock.ts';
import type { Database, SqlStep } from '../../../runtime/contracts/database.ts';
import { errorText } from '../../../runtime/contracts/error.ts';
import type { Logger } from '../../../runtime/contracts/logger.ts';
import type { GoneMessage, SpoolGone } from './spool-gone.ts';
import { COUNTER_NAMES, SPOOL_SQL, type SpoolCounters } from './spool-schema.ts';

/** One change. */
export interface LedgerEntry {
  readonly steps: readonly SqlStep[];
  readonly delta: Partial<SpoolCounters>;
  readonly bytes: number;
  readonly lastError?: string;
  /** A message leaves for good with this change. */
  readonly gone?: GoneMessage;
  /** The change is on disk. */
  readonly done: () => void;
  /** How long the change may wait for others to share its commit. */
  readonly waitMs?: number;
  /** The write failed and the change is given up; without it the change is tried again until it is on disk. */
  readonly failed?: (error: Error) => void;
}

export interface LedgerOptions {
  readonly database: Database;
  readonly queueId: number;
  readonly queueName: string;
  readonly counters: SpoolCounters;
  readonly lastError: string | undefined;
  readonly clock: Clock;
  readonly log: Logger;
  readonly lastSequence: () => number;
  readonly elapsed: () => number;
  readonly gone: SpoolGone;
  /** After each commit, with the sum of its changes. */
  readonly committed: (delta: SpoolCounters) => void;
}

const MAX_ENTRIES = 500;
const MAX_BYTES = 8 * 1024 * 1024;
const RETRY_MS = 1000;
/** So many changes are worth a commit of their own: the dozen pages that every commit writes are then few to each. */
const FULL_GROUP = 480;
/** While arrivals come in groups, a group waits this long for as many as the last one had. */
const GATHER_MS = 8;
const LEAST_GATHERED = 4;
/** So many callers take their time to come back, and wait for one another anyway. */
const CROWD = 64;
const CROWD_GATHER_MS = 24;
/** How long a departure may wait. */
export const DEPARTURE_WAIT_MS = 2000;

export function noCounters(): SpoolCounters {
  return {
    accepted: 0,
    delivered: 0,
    expired: 0,
    full: 0,
    removed: 0,
    damaged: 0,
    pending: 0,
    parked: 0,
    pendingBytes: 0,
  };
}

/** Only arrivals may fail: whoever brought them is told. */
function isArrival(entry: LedgerEntry): boolean {
  return entry.failed !== undefined;
}

function addTo(counters: SpoolCounters, delta: Partial<SpoolCounters>): void {
  for (const name of COUNTER_NAMES) counters[name] += delta[name] ?? 0;
}

export class SpoolLedger {
  readonly #options: LedgerOptions;
  #counters: SpoolCounters;
  #lastError: string | undefined;
  #waiting: LedgerEntry[] = [];
  #underWay: readonly LedgerEntry[] = [];
  readonly #notes = new Map<number, SqlStep>();
  #writing: Promise<void> | undefined;
  #retry: Timer | undefined;
  #waits: Timer | undefined;
  #waitsUntil = 0;
  /** Arrivals among what waits, and in the last group that had any. */
  #arrivals = 0;
  #lastArrivals = 0;
  /** Whether something waits whose time has come. */
  #due = false;
  #closed = false;
  /** Elapsed time of the last commit. */
  #writtenAt: number;

  constructor(options: LedgerOptions) {
    this.#options = options;
    this.#counters = options.counters;
    this.#lastError = options.lastError;
    this.#writtenAt = options.elapsed();
  }

  /** What is on disk. */
  get counters(): Readonly<SpoolCounters> {
    return this.#counters;
  }

  /** What will be on disk once all is committed that cannot fail any more: all but arrivals. */
  get decided(): Readonly<SpoolCounters> {
    if (this.#waiting.length === 0 && this.#underWay.length === 0) return this.#counters;
    const decided = { ...this.#counters };
    for (const entry of [...this.#underWay, ...this.#waiting])
      if (!isArrival(entry)) addTo(decided, entry.delta);
    return decided;
  }

  get lastError(): string | undefined {
    return this.#lastError;
  }

  add(entry: LedgerEntry): void {
    this.#waiting.push(entry);
    if (isArrival(entry)) this.#arrivals += 1;
    const waitMs =
      this.#waiting.length >= FULL_GROUP ? 0 : Math.max(entry.waitMs ?? 0, this.#gatherMs(entry));
    if (waitMs > 0) this.#wait(waitMs);
    else this.#hurry();
  }

  /**
   * On a disk that syncs fast the groups would be small and many, and every commit costs the same few pages. Callers that
   * were answered together come back together.
   */
  #gatherMs(entry: LedgerEntry): number {
    if (!isArrival(entry) || this.#lastArrivals < LEAST_GATHERED) return 0;
    if (this.#arrivals >= this.#lastArrivals) return 0;
    return this.#lastArrivals < CROWD ? GATHER_MS : CROWD_GATHER_MS;
  }

  #wait(waitMs: number): void {
    if (this.#due) return;
    const { clock } = this.#options;
    const until = clock.monotonicMs() + waitMs;
    if (this.#waits !== undefined && this.#waitsUntil <= until) return;
    this.#waits?.cancel();
    this.#waitsUntil = until;
    this.#waits = clock.startTimer(waitMs, () => this.#hurry(), true);
  }

  #hurry(): void {
    this.#waits?.cancel();
    this.#waits = undefined;
    this.#due = true;
    this.#start();
  }

  /** Remembers what may wait for the next write: the last error, and a step that replaces an earlier one of `sequence`. */
  note(error: string, sequence: number, step: SqlStep): void {
    this.#lastError = error;
    if (this.#notes.size < MAX_ENTRIES || this.#notes.has(sequence)) this.#notes.set(sequence, step);
  }

  /** Stores the elapsed time when nothing else did for `olderThanMs`. */
  touch(olderThanMs: number): void {
    if (this.#options.elapsed() - this.#writtenAt < olderThanMs || this.#writing !== undefined) return;
    this.add({ steps: [], delta: {}, bytes: 0, done: () => undefined });
  }

  /** Resolves when no departure waits. */
  flush(): Promise<void> {
    return this.#waiting.length === 0 && this.#writing === undefined ? Promise.resolve() : this.settled();
  }

  /** Resolves when everything added so far is on disk. */
  settled(): Promise<void> {
    return new Promise((resolve) => this.add({ steps: [], delta: {}, bytes: 0, done: resolve }));
  }

  /** Writes what waits, once more, and stops trying. */
  async close(): Promise<void> {
    this.#retry?.cancel();
    this.#retry = undefined;
    if (this.#notes.size > 0) this.add({ steps: [], delta: {}, bytes: 0, done: () => undefined });
    this.#hurry();
    this.#closed = true;
    await this.#writing;
  }

  #start(): void {
    const idle = this.#writing === undefined && this.#retry === undefined;
    if (!idle || this.#closed || !this.#due || this.#waiting.length === 0) return;
    this.#writing = this.#writeAll().finally(() => {
      this.#writing = undefined;
      // A change may have come between the last look and this moment.
      this.#start();
    });
  }

  async #writeAll(): Promise<void> {
    // Changes of this turn of the event loop go together.
    await Promise.resolve();
    while (this.#due && this.#waiting.length > 0) {
      const entries = this.#take();
      this.#underWay = entries;
      try {
        await this.#write(entries);
      } catch (error) {
        this.#underWay = [];
        this.#giveUp(entries, error instanceof Error ? error : new Error(errorText(error)));
        return;
      }
    }
  }

  #take(): LedgerEntry[] {
    let count = 0;
    let bytes = 0;
    while (count < this.#waiting.length && count < MAX_ENTRIES && bytes < MAX_BYTES) {
      bytes += this.#waiting[count]?.bytes ?? 0;
      count += 1;
    }
    if (count === this.#waiting.length) {
      this.#due = false;
      this.#waits?.cancel();
      this.#waits = undefined;
    }
    const taken = this.#waiting.splice(0, count);
    const arrivals = taken.filter(isArrival).length;
    this.#arrivals -= arrivals;
    if (arrivals > 0) this.#lastArrivals = arrivals;
    return taken;
  }

  async #write(entries: readonly LedgerEntry[]): Promise<void> {
    const { database, queueId, lastSequence, elapsed, committed } = this.#options;
    const delta = noCounters();
    const known = this.#lastError;
    let lastError = known;
    const steps: SqlStep[] = [...this.#notes.values()];
    this.#notes.clear();
    const gone: GoneMessage[] = [];
    for (const entry of entries) {
      for (const step of entry.steps) steps.push(step);
      if (entry.gone !== undefined) gone.push(entry.gone);
      addTo(delta, entry.delta);
      lastError = entry.lastError ?? lastError;
    }
    const next = { ...this.#counters };
    addTo(next, delta);
    const now = elapsed();
    steps.push(...this.#options.gone.steps(queueId, gone, Math.floor(this.#options.clock.now())));
    const values = COUNTER_NAMES.map((name) => next[name]);
    const params = [...values, lastSequence(), now, lastError ?? null, queueId];
    await database.write([...steps, { sql: SPOOL_SQL.updateQueue, params, atLeast: 1 }]);
    this.#counters = next;
    this.#underWay = [];
    // A later failure may have been noted meanwhile.
    if (this.#lastError === known) this.#lastError = lastError;
    this.#writtenAt = now;
    for (const entry of entries) entry.done();
    committed(delta);
  }

  #giveUp(entries: readonly LedgerEntry[], error: Error): void {
    const { log, queueName, clock } = this.#options;
    log.error('Writing to a store-and-forward queue failed', { queue: queueName, error: error.message });
    const kept = entries.filter((entry) => entry.failed === undefined);
    this.#waiting = [...kept, ...this.#waiting];
    this.#due = this.#waiting.length > 0;
    for (const entry of entries) entry.failed?.(error);
    if (this.#waiting.length === 0 || this.#closed) return;
    this.#retry = clock.startTimer(
      RETRY_MS,
      () => {
        this.#retry = undefined;
        this.#start();
      },
      true,
    );
  }
}

/**
 * One store-and-forward queue: admission under the caps, the ledger, the drain loop and expiry.
 *
 * Invariants: `append` resolves after the message is on disk; a message leaves the disk only after the target confirmed
 * it, it expired, or the full policy gave it up; every change of messages changes the counters in the same transaction.
 */

import type { Clock, Timer } from '../../../runtime/contracts/clock.ts';
import type { Database, SqlValue } from '../../../runtime/contracts/database.ts';
import type { Ids } from '../../../runtime/contracts/ids.ts';
import {
  type Spool,
  type SpoolCounts,
  SpoolFullError,
  type SpoolMessage,
  type SpoolOptions,
} from '../../../runtime/contracts/spool.ts';
import { spoolCounts } from './spool-counts.ts';
import type { Deliver, SpoolDrain } from './spool-drain.ts';
import type { SpoolLedger } from './spool-ledger.ts';
import { type Removable, removable, type SpoolMessages } from './spool-messages.ts';
import { storedRecord } from './spool-record.ts';
import { diskBytes } from './spool-room.ts';
import { SPOOL_SQL } from './spool-schema.ts';

export interface SpoolQueueParts {
  readonly options: SpoolOptions;
  readonly queueId: number;
  readonly database: Database;
  readonly ledger: SpoolLedger;
  readonly messages: SpoolMessages;
  readonly drain: SpoolDrain;
  readonly clock: Clock;
  readonly ids: Ids;
  readonly elapsed: () => number;
  readonly nextSequence: () => number;
  readonly closed: () => void;
}

interface Arrival {
  readonly message: SpoolMessage;
  readonly bytes: number;
  readonly resolve: (id: string) => void;
  readonly reject: (error: Error) => void;
}

/** Longest time between two looks at deadlines. */
const TICK_MS = 30_000;
/**
 * Between two notes of the elapsed time by themselves: a tenth of the time that is left, within these bounds. A power cut
 * lets messages live longer by no more than that; noting it often would wear the card while nothing else happens.
 */
const MIN_NOTE_MS = 30_000;
const MAX_NOTE_MS = 900_000;
const MIN_TICK_MS = 1000;
/** Pause between batches when very many messages expired together. */
const NEXT_BATCH_MS = 20;

export class SpoolQueue implements Spool {
  readonly options: SpoolOptions;
  readonly #parts: SpoolQueueParts;
  /** What the disk will hold once everything decided is committed. */
  #messages: number;
  #bytes: number;
  #arrivals: Arrival[] = [];
  #tick: Timer | undefined;
  #noteEveryMs = MIN_NOTE_MS;
  #closed = false;

  constructor(parts: SpoolQueueParts) {
    this.options = parts.options;
    this.#parts = parts;
    this.#messages = parts.ledger.counters.pending;
    this.#bytes = parts.ledger.counters.pendingBytes;
    this.#scheduleTick();
  }

  append(message: SpoolMessage): Promise<string> {
    return new Promise((resolve, reject) => {
      if (this.#closed) throw new Error(`queue '${this.options.name}' is closed`);
      if (!(Number.isInteger(message.priority) && message.priority >= 0 && message.priority <= 9)) {
        throw new RangeError(`priority: expected an integer from 0 to 9, got ${message.priority}`);
      }
      const bytes = sizeOf(message);
      if (!this.#fits(1, bytes)) {
        throw new SpoolFullError(
          `a message of ${bytes} bytes (${diskBytes(1, bytes)} on disk) can never fit into queue '${this.options.name}'`,
        );
      }
      this.#arrive({ message, bytes, resolve, reject });
    });
  }

  drain(deliver: Deliver): void {
    this.#parts.drain.start(deliver);
  }

  wake(): void {
    this.#parts.drain.wake();
  }

  /** Gives a parked message another turn; resolves when that is on disk. */
  release(row: Readonly<Record<string, SqlValue>>): Promise<void> {
    const { messages, drain } = this.#parts;
    return new Promise((resolve) => {
      messages.unpark(row, () => {
        resolve();
        drain.pump();
      });
    });
  }

  /** Drops a message on request; false while it is being delivered. */
  async remove(row: Readonly<Record<string, SqlValue>>): Promise<boolean> {
    const { messages, ledger } = this.#parts;
    const item = removable(row);
    if (messages.isTaken(item.sequence)) return false;
    messages.depart(item, 'removed');
    await ledger.settled();
    return true;
  }

  /** Resolves when what was decided is on disk. */
  flush(): Promise<void> {
    return this.#parts.ledger.flush();
  }

  counts(): SpoolCounts {
    const { database, queueId, ledger } = this.#parts;
    return spoolCounts(database, queueId, ledger.decided, ledger.lastError);
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#tick?.cancel();
    for (const arrival of this.#arrivals) arrival.reject(new Error(`queue '${this.options.name}' is closed`));
    this.#arrivals = [];
    await this.#parts.drain.close();
    await this.#parts.ledger.close();
    this.#parts.closed();
  }

  /** A message left: its room is free. */
  left(bytes: number): void {
    this.#messages -= 1;
    this.#bytes -= bytes;
    if (this.#arrivals.length > 0) queueMicrotask(() => this.admitWaiting());
  }

  /** Lets waiting arrivals in, in order, as far as there is room. */
  admitWaiting(): void {
    let admitted = 0;
    while (admitted < this.#arrivals.length && this.#admit(this.#arrivals[admitted] as Arrival))
      admitted += 1;
    this.#arrivals.splice(0, admitted);
  }

  #arrive(arrival: Arrival): void {
    if (this.#arrivals.length === 0 && this.#admit(arrival)) return;
    switch (this.options.whenFull) {
      case 'reject':
        arrival.reject(new SpoolFullError(`queue '${this.options.name}' is full`));
        break;
      case 'drop-newest':
        this.#turnAway(arrival);
        break;
      case 'block':
      case 'drop-oldest':
        this.#arrivals.push(arrival);
        break;
    }
  }

  /** True when the arrival found room or room was made. */
  #admit(arrival: Arrival): boolean {
    const messages = this.#messages + 1;
    const bytes = this.#bytes + arrival.bytes;
    if (this.#fits(messages, bytes)) {
      this.#store(arrival, []);
      return true;
    }
    if (this.options.whenFull !== 'drop-oldest') return false;
    const enough = (count: number, freed: number): boolean => this.#fits(messages - count, bytes - freed);
    const victims = this.#parts.messages.victims(enough);
    // Not enough to give up: the rest is being delivered or not yet on disk, and the arrival waits for it.
    if (victims === undefined) return false;
    this.#store(arrival, victims);
    return true;
  }

  #fits(messages: number, bytes: number): boolean {
    const { maxMessages, maxBytes } = this.options;
    return messages <= maxMessages && diskBytes(messages, bytes) <= maxBytes;
  }

  #store(arrival: Arrival, victims: readonly Removable[]): void {
    const { ledger, messages, drain, clock, ids, elapsed, nextSequence, queueId } = this.#parts;
    const { message, bytes } = arrival;
    const { key, priority } = message;
    const id = ids.uuidv7();
    const sequence = nextSequence();
    const deadline = this.options.ttlMs > 0 ? elapsed() + this.options.ttlMs : null;
    const stored = storedRecord(id, Math.floor(clock.now()), message);
    for (const victim of victims) messages.depart(victim, 'full');
    this.#messages += 1;
    this.#bytes += bytes;
    ledger.add({
      steps: [
        {
          sql: SPOOL_SQL.insert,
          params: [
            sequence,
            queueId,
            key,
            priority,
            bytes,
            stored.id,
            stored.acceptedAt,
            deadline,
            stored.record,
            stored.crc,
          ],
        },
      ],
      delta: { accepted: 1, pending: 1, pendingBytes: bytes },
      bytes: stored.record.byteLength,
      waitMs: this.options.lingerMs ?? 0,
      done: () => {
        arrival.resolve(id);
        messages.added({ sequence, key, priority });
        if (deadline !== null) this.#scheduleTick();
        drain.pump();
        if (this.#arrivals.length > 0) this.admitWaiting();
      },
      failed: (error) => {
        this.left(bytes);
        arrival.reject(error);
      },
    });
  }

  /** `drop-newest`: the message is accepted and dropped at once, and the ledger says so. */
  #turnAway({ resolve, reject }: Arrival): void {
    const id = this.#parts.ids.uuidv7();
    this.#parts.ledger.add({
      steps: [],
      delta: { accepted: 1, full: 1 },
      bytes: 0,
      gone: { id, why: 'full' },
      done: () => resolve(id),
      failed: reject,
    });
  }

  /** Looks at deadlines while there are any, and notes the elapsed time now and then. */
  #scheduleTick(): void {
    if (this.#tick !== undefined || this.#closed) return;
    const { database, queueId, elapsed, clock } = this.#parts;
    const deadline = database.read(SPOOL_SQL.nextDeadline, [queueId])[0]?.['deadline'] ?? null;
    if (deadline === null) return;
    const leftMs = Number(deadline) - elapsed();
    const waitMs = Math.min(Math.max(leftMs, MIN_TICK_MS), TICK_MS);
    this.#noteEveryMs = Math.min(Math.max(leftMs / 10, MIN_NOTE_MS), MAX_NOTE_MS);
    this.#tick = clock.startTimer(waitMs, () => this.#expire(), true);
  }

  #expire(): void {
    this.#tick = undefined;
    if (this.#closed) return;
    const more = this.#parts.messages.dropOverdue();
    this.#parts.ledger.touch(this.#noteEveryMs);
    if (more) this.#tick = this.#parts.clock.startTimer(NEXT_BATCH_MS, () => this.#expire(), true);
    else this.#scheduleTick();
  }
}

/** Payload and header bytes, as the caps count them. */
function sizeOf(message: SpoolMessage): number {
  let bytes = message.payload.byteLength;
  for (const [name, value] of Object.entries(message.headers)) {
    bytes += Buffer.byteLength(name) + Buffer.byteLength(value);
  }
  return bytes;
}

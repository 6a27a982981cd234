/**
 * The main thread's end of the writer thread. Requests of one turn of the event loop cross in one message; what is
 * under way is bounded, the rest waits here in order.
 */

import { Worker } from 'node:worker_threads';
import type { Clock, Timer } from '../../../runtime/contracts/clock.ts';
import { DatabaseError, type SqlStep, type SqlValue } from '../../../runtime/contracts/database.ts';
import { errorText } from '../../../runtime/contracts/error.ts';
import type { WriteOutcome } from './write-connection.ts';
import { WRITER_ROLE, type WriterAnswer, type WriterMessage, type WriterRequest } from './writer-protocol.ts';

export interface WriterLimits {
  /** Requests handed to the thread and not answered; more wait on the main thread. */
  readonly maxUnderWay: number;
  readonly maxUnderWayBytes: number;
  /** Requests waiting on the main thread; beyond it a write is refused at once. */
  readonly maxWaiting: number;
  readonly maxWaitingBytes: number;
}

export const WRITER_LIMITS: WriterLimits = {
  maxUnderWay: 4096,
  maxUnderWayBytes: 32 * 1024 * 1024,
  maxWaiting: 65_536,
  maxWaitingBytes: 128 * 1024 * 1024,
};

/** So many that wait are a group of their own: lingering on would win nothing. */
const FULL_GROUP = 512;
const FULL_GROUP_BYTES = 1024 * 1024;

interface Pending {
  readonly request: WriterRequest;
  readonly bytes: number;
  readonly resolve: (outcome: WriteOutcome) => void;
  readonly reject: (error: Error) => void;
}

type Unnumbered<R> = R extends WriterRequest ? Omit<R, 'id'> : never;

/** Sends requests to a writer thread of its own. */
export class WriterClient {
  readonly #worker: Worker;
  readonly #limits: WriterLimits;
  readonly #onFatal: (error: Error) => void;
  readonly #underWay = new Map<number, Pending>();
  #underWayBytes = 0;
  #waiting: Pending[] = [];
  #waitingBytes = 0;
  #scheduled = false;
  readonly #clock: Clock;
  /** Whether something waits that must not linger. */
  #urgent = false;
  #lingering: Timer | undefined;
  #lingersUntil = 0;
  #nextId = 1;
  #stopping = false;
  #failure: DatabaseError | undefined;
  /** Writes that were applied and are on disk. */
  acknowledged = 0;

  constructor(
    entry: URL,
    clock: Clock,
    onFatal: (error: Error) => void,
    limits: WriterLimits = WRITER_LIMITS,
  ) {
    this.#limits = limits;
    this.#clock = clock;
    this.#onFatal = onFatal;
    // No flags of the process: the thread needs none, and preloaded modules would only delay its start.
    this.#worker = new Worker(entry, { workerData: { role: WRITER_ROLE }, name: WRITER_ROLE, execArgv: [] });
    this.#worker.on('message', (answers: readonly WriterAnswer[]) => this.#receive(answers));
    this.#worker.on('error', (error) => this.#fail(errorText(error), error));
    this.#worker.on('messageerror', (error) => this.#fail(errorText(error), error));
    this.#worker.on('exit', (code) => this.#fail(`it ended with code ${code}`));
  }

  /**
   * Resolves with the outcome once the thread answered; rejects only when the thread is gone or overloaded. With
   * `lingerMs` it may wait that long here, for others to go along; whatever waits goes with the first that may not.
   */
  request(request: Unnumbered<WriterRequest>, bytes = 0, lingerMs = 0): Promise<WriteOutcome> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    if (
      this.#waiting.length >= this.#limits.maxWaiting ||
      this.#waitingBytes >= this.#limits.maxWaitingBytes
    ) {
      const text = `${this.#waiting.length} writes (${this.#waitingBytes} bytes) already wait for the disk`;
      return Promise.reject(new DatabaseError('SKERRY_OVERLOADED', text));
    }
    const id = this.#nextId;
    this.#nextId += 1;
    return new Promise((resolve, reject) => {
      this.#waiting.push({ request: { ...request, id } as WriterRequest, bytes, resolve, reject });
      this.#waitingBytes += bytes;
      if (lingerMs > 0 && this.#waiting.length < FULL_GROUP && this.#waitingBytes < FULL_GROUP_BYTES)
        this.#linger(lingerMs);
      else this.#hurry();
    });
  }

  /** Lets the thread finish what it was given, close its files and end. */
  async stop(): Promise<void> {
    if (this.#stopping || this.#failure !== undefined) return;
    this.#lingering?.cancel();
    while (this.#waiting.length > 0) this.#flush(Number.POSITIVE_INFINITY);
    this.#stopping = true;
    const ended = new Promise<void>((resolve) => this.#worker.once('exit', () => resolve()));
    this.#worker.postMessage('stop' satisfies WriterMessage);
    await ended;
  }

  #linger(lingerMs: number): void {
    if (this.#urgent) return;
    const until = this.#clock.monotonicMs() + lingerMs;
    if (this.#lingering !== undefined && this.#lingersUntil <= until) return;
    this.#lingering?.cancel();
    this.#lingersUntil = until;
    this.#lingering = this.#clock.startTimer(lingerMs, () => this.#hurry());
  }

  #hurry(): void {
    this.#lingering?.cancel();
    this.#lingering = undefined;
    this.#urgent = true;
    this.#schedule();
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#flush(this.#limits.maxUnderWay);
    });
  }

  #flush(maxUnderWay: number): void {
    let count = 0;
    const message: WriterRequest[] = [];
    for (; count < this.#waiting.length; count += 1) {
      const room = this.#underWay.size === 0 || this.#underWayBytes < this.#limits.maxUnderWayBytes;
      if (this.#underWay.size >= maxUnderWay || (!room && maxUnderWay !== Number.POSITIVE_INFINITY)) break;
      const pending = this.#waiting[count] as Pending;
      this.#underWay.set(pending.request.id, pending);
      this.#underWayBytes += pending.bytes;
      this.#waitingBytes -= pending.bytes;
      message.push(pending.request);
    }
    if (count === this.#waiting.length) this.#urgent = false;
    if (count === 0 || this.#failure !== undefined) return;
    this.#waiting = count === this.#waiting.length ? [] : this.#waiting.slice(count);
    this.#worker.postMessage(message satisfies WriterMessage);
  }

  #receive(answers: readonly WriterAnswer[]): void {
    for (const { id, outcome } of answers) {
      const pending = this.#underWay.get(id);
      if (pending === undefined) continue;
      this.#underWay.delete(id);
      this.#underWayBytes -= pending.bytes;
      if (pending.request.kind === 'write' && Array.isArray(outcome)) this.acknowledged += 1;
      pending.resolve(outcome);
    }
    if (this.#urgent) this.#schedule();
  }

  /** The thread is gone: what it had may or may not be on disk, so nothing may go on as if it were. */
  #fail(reason: string, cause?: unknown): void {
    if (this.#failure !== undefined) return;
    const text = this.#stopping ? 'the writer thread has stopped' : `the writer thread is gone: ${reason}`;
    this.#failure = new DatabaseError(
      'SKERRY_WRITER_GONE',
      text,
      cause === undefined ? undefined : { cause },
    );
    this.#lingering?.cancel();
    const rejected = [...this.#underWay.values(), ...this.#waiting];
    this.#underWay.clear();
    this.#waiting = [];
    for (const pending of rejected) pending.reject(this.#failure);
    if (!this.#stopping) this.#onFatal(this.#failure);
  }
}

/** Steps as they may cross: a view into a larger buffer is copied, or the whole buffer would travel with it. */
export function crossingSteps(steps: readonly SqlStep[]): { steps: readonly SqlStep[]; bytes: number } {
  let bytes = 0;
  const crossing = steps.map((step) => {
    let copied: SqlValue[] | undefined;
    bytes += 64;
    const params = step.params ?? [];
    for (let index = 0; index < params.length; index += 1) {
      const value = params[index];
      if (typeof value === 'string') bytes += value.length;
      else if (value instanceof Uint8Array) {
        bytes += value.byteLength;
        if (value.byteLength === value.buffer.byteLength) continue;
        copied ??= [...params];
        copied[index] = new Uint8Array(value);
      }
    }
    return copied === undefined ? step : { ...step, params: copied };
  });
  return { steps: crossing, bytes };
}

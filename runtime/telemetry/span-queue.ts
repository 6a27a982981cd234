/**
 * Sampled spans on their way to one collector: a bounded queue, sent in batches after a delay or when a batch is full,
 * as the OpenTelemetry batch processor does. Adding a span never waits; what finds the queue full is dropped and
 * counted. A collector that cannot be reached costs one log line and the queue.
 */

import type { Clock, Timer } from '../contracts/clock.ts';
import { errorText } from '../contracts/error.ts';
import type { Logger } from '../contracts/logger.ts';
import type { Labels, Metrics } from '../contracts/metrics.ts';
import type { FinishedSpan } from '../contracts/trace.ts';

/** Sends one batch; rejects with `ExportError` when the collector said so, with anything else when it was not reached. */
export interface SpanSink {
  /** Where the spans go, for the log. */
  readonly target: string;
  /** Longest time of one attempt. */
  readonly timeoutMs: number;
  send(spans: readonly FinishedSpan[], signal: AbortSignal): Promise<void>;
  close(): Promise<void>;
}

/** The collector answered and did not take the spans. */
export class ExportError extends Error {
  override readonly name = 'ExportError';
  /** Whether it may take them later. */
  readonly retryable: boolean;
  constructor(message: string, retryable: boolean) {
    super(message);
    this.retryable = retryable;
  }
}

export interface QueueLimits {
  readonly maxSpans: number;
  readonly batchSpans: number;
  readonly delayMs: number;
  /** After this long a batch is given up, so that fresh spans get their turn. */
  readonly exportMs: number;
}

export interface SpanQueueOptions {
  readonly sink: SpanSink;
  readonly limits: QueueLimits;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Pick<Metrics, 'count'>;
}

const FIRST_RETRY_MS = 5000;
const MAX_RETRY_MS = 30_000;

/** One collector's queue. */
export class SpanQueue {
  readonly #options: SpanQueueOptions;
  /** Shared, so that the registry may keep what it derived from it. */
  readonly #labels: Labels;
  readonly #closing = new AbortController();
  #waiting: FinishedSpan[] = [];
  #timer: Timer | undefined;
  #draining: Promise<void> | undefined;
  #failing = false;
  #limit: AbortSignal | undefined;

  constructor(options: SpanQueueOptions) {
    this.#options = options;
    this.#labels = Object.freeze({ exporter: options.sink.target });
  }

  /** No room: a span that begins now would be dropped at its end. */
  get full(): boolean {
    return this.#waiting.length >= this.#options.limits.maxSpans;
  }

  /** Counts a span that was not even recorded. */
  refuse(): void {
    this.#count(1);
  }

  add(span: FinishedSpan): void {
    const { batchSpans, delayMs } = this.#options.limits;
    if (this.full || this.#closing.signal.aborted) {
      this.#count(1);
      return;
    }
    this.#waiting.push(span);
    if (this.#draining !== undefined) return;
    if (this.#waiting.length >= batchSpans) this.#start();
    else this.#timer ??= this.#options.clock.startTimer(delayMs, () => this.#start(), true);
  }

  /** Sends what waits, for at most `limitMs`; what is left then is dropped. */
  async close(limitMs: number): Promise<void> {
    const limit = new AbortController();
    this.#limit = limit.signal;
    const timer = this.#options.clock.startTimer(limitMs, () => limit.abort(new Error('time is up')), true);
    this.#closing.abort(new Error('the exporter is closing'));
    try {
      await this.#draining;
      this.#start();
      await this.#draining;
    } finally {
      timer.cancel();
    }
    await this.#options.sink.close();
  }

  #start(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    if (this.#draining !== undefined || this.#waiting.length === 0) return;
    this.#draining = this.#drain().finally(() => {
      this.#draining = undefined;
    });
  }

  async #drain(): Promise<void> {
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0, this.#options.limits.batchSpans);
      await this.#deliver(batch);
      if (this.#waiting.length < this.#options.limits.batchSpans && !this.#closing.signal.aborted) break;
    }
    if (this.#waiting.length > 0 && !this.#closing.signal.aborted)
      this.#timer ??= this.#options.clock.startTimer(this.#options.limits.delayMs, () => this.#start(), true);
  }

  async #deliver(batch: readonly FinishedSpan[]): Promise<void> {
    const { clock, limits } = this.#options;
    const started = clock.monotonicMs();
    for (let delay = FIRST_RETRY_MS; ; delay = Math.min(delay * 1.5, MAX_RETRY_MS)) {
      try {
        await this.#attempt(batch);
        this.#worked();
        return;
      } catch (error) {
        this.#failed(error);
        const retry = !(error instanceof ExportError) || error.retryable;
        const late = clock.monotonicMs() - started + delay > limits.exportMs;
        if (!retry || late || this.#closing.signal.aborted) break;
      }
      // The closing ends the wait, and the batch gets its last attempt.
      await clock.sleep(delay, this.#closing.signal).catch(() => {});
    }
    this.#count(batch.length);
  }

  /** One attempt, within its time and the time that a close leaves. */
  async #attempt(batch: readonly FinishedSpan[]): Promise<void> {
    const { clock, limits, sink } = this.#options;
    this.#limit?.throwIfAborted();
    const over = new AbortController();
    const stop = (): void => over.abort(new Error('the collector did not answer in time'));
    const timer = clock.startTimer(Math.min(sink.timeoutMs, limits.exportMs), stop, true);
    const closing = (): void => this.#limit?.addEventListener('abort', stop, { once: true });
    if (this.#closing.signal.aborted) closing();
    else this.#closing.signal.addEventListener('abort', closing, { once: true });
    try {
      await sink.send(batch, over.signal);
    } finally {
      timer.cancel();
      this.#closing.signal.removeEventListener('abort', closing);
      this.#limit?.removeEventListener('abort', stop);
    }
  }

  #worked(): void {
    if (!this.#failing) return;
    this.#failing = false;
    this.#options.log.info(`traces reach ${this.#options.sink.target} again`);
  }

  /** Told once until it works again: a collector that is down for a night must not fill a disk. */
  #failed(error: unknown): void {
    if (this.#failing) return;
    this.#failing = true;
    this.#options.log.warn(
      `traces do not reach ${this.#options.sink.target}: ${errorText(error)}; they are kept as long as there is room`,
    );
  }

  #count(spans: number): void {
    this.#options.metrics.count('trace_dropped_spans', this.#labels, spans);
  }
}

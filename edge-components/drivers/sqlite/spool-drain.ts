/**
 * Delivers the messages of one queue. At most one attempt per key is under way, several keys go in parallel. When the
 * target is away the whole queue waits with exponential backoff and full jitter; the attempt that follows goes alone,
 * and its success opens the queue again.
 */

import type { Clock, Timer } from '../../../runtime/contracts/clock.ts';
import { errorText } from '../../../runtime/contracts/error.ts';
import type { Logger } from '../../../runtime/contracts/logger.ts';
import type { Random } from '../../../runtime/contracts/random.ts';
import type { DeliveryOutcome, StoredMessage } from '../../../runtime/contracts/spool.ts';
import type { Candidate, SpoolMessages } from './spool-messages.ts';

export type Deliver = (message: StoredMessage, signal: AbortSignal) => Promise<DeliveryOutcome>;

export interface DrainOptions {
  readonly queueName: string;
  readonly messages: SpoolMessages;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** Keys with an attempt under way at the same time. */
  readonly parallelKeys: number;
}

const FIRST_BACKOFF_MS = 250;
const MAX_BACKOFF_MS = 30_000;
/** How long `close` waits for attempts before it aborts their signal. */
const CLOSE_GRACE_MS = 5000;

export class SpoolDrain {
  readonly #options: DrainOptions;
  readonly #abort = new AbortController();
  readonly #running = new Set<Promise<void>>();
  #deliver: Deliver | undefined;
  #failures = 0;
  #backoff: Timer | undefined;
  #deferred = false;
  #closed = false;

  constructor(options: DrainOptions) {
    this.#options = options;
  }

  start(deliver: Deliver): void {
    if (this.#deliver !== undefined)
      throw new Error(`queue '${this.#options.queueName}' is already being drained`);
    this.#deliver = deliver;
    this.pump();
  }

  /** The target may be back: the next attempt happens now, and backoff starts anew. */
  wake(): void {
    this.#failures = Math.min(this.#failures, 1);
    this.#backoff?.cancel();
    this.#backoff = undefined;
    this.pump();
  }

  /** Starts as many attempts as may run now. */
  pump(): void {
    if (this.#deliver === undefined || this.#closed) return;
    try {
      this.#startAttempts(this.#deliver);
    } catch (error) {
      // Reading the queue failed; that may pass, and a delivery must not end the process.
      this.#options.log.error('Reading a store-and-forward queue failed', { error: errorText(error) });
      this.#failed(errorText(error));
    }
  }

  #startAttempts(deliver: Deliver): void {
    const { messages, parallelKeys } = this.#options;
    while (this.#backoff === undefined && messages.inFlight < (this.#failures > 0 ? 1 : parallelKeys)) {
      const candidate = messages.take();
      if (candidate === undefined) return;
      if (candidate === 'later') {
        this.#defer();
        return;
      }
      const attempt = this.#attempt(deliver, candidate).finally(() => {
        this.#running.delete(attempt);
        this.pump();
      });
      this.#running.add(attempt);
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#backoff?.cancel();
    const grace = this.#options.clock.startTimer(CLOSE_GRACE_MS, () => this.#abort.abort(), true);
    await Promise.all(this.#running);
    grace.cancel();
  }

  #defer(): void {
    if (this.#deferred) return;
    this.#deferred = true;
    setImmediate(() => {
      this.#deferred = false;
      this.pump();
    });
  }

  async #attempt(deliver: Deliver, candidate: Candidate): Promise<void> {
    const outcome = await this.#outcome(deliver, candidate.message);
    const { messages, log, queueName } = this.#options;
    messages.release(candidate);
    if (outcome === 'delivered') {
      messages.depart(candidate, 'delivered', candidate.message.key);
      this.#succeeded();
    } else if ('park' in outcome) {
      messages.park(candidate, outcome.park);
      const fields = { queue: queueName, id: candidate.message.id, error: outcome.park };
      log.warn('A message that cannot be delivered was parked', fields);
      this.#succeeded();
    } else {
      messages.putBack(candidate, outcome.retry);
      this.#failed(outcome.retry);
    }
  }

  async #outcome(deliver: Deliver, message: StoredMessage): Promise<DeliveryOutcome> {
    try {
      return await deliver(message, this.#abort.signal);
    } catch (error) {
      return { retry: errorText(error) };
    }
  }

  /** The target answered. */
  #succeeded(): void {
    if (this.#failures > 0)
      this.#options.log.info('Deliveries succeed again', { queue: this.#options.queueName });
    this.#failures = 0;
  }

  #failed(error: string): void {
    // Attempts that were under way together count once.
    if (this.#backoff !== undefined || this.#closed) return;
    const { clock, random, log, queueName } = this.#options;
    if (this.#failures === 0) log.warn('Deliveries fail; messages wait', { queue: queueName, error });
    const ceiling = Math.min(MAX_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** Math.min(this.#failures, 10));
    this.#failures += 1;
    this.#backoff = clock.startTimer(random.float() * ceiling, () => {
      this.#backoff = undefined;
      this.pump();
    });
  }
}

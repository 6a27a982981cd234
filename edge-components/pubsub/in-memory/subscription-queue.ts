/** What waits for one subscription, and the loop that works it off. Bounded: a publish that finds it full is refused. */

import type { IncomingMessage } from '../../../runtime/contracts/pubsub.ts';

const MAX_MESSAGES = 10_000;
const MAX_BYTES = 64 * 1024 * 1024;

export class SubscriptionQueue {
  readonly #work: (queue: SubscriptionQueue) => Promise<void>;
  #messages: IncomingMessage[] = [];
  #bytes = 0;
  #running: Promise<void> | undefined;
  #closed = false;
  #reached: { readonly count: number; readonly call: () => void } | undefined;

  /** `work` takes what it can handle from the queue and resolves when it is done with it; it never rejects. */
  constructor(work: (queue: SubscriptionQueue) => Promise<void>) {
    this.#work = work;
  }

  get length(): number {
    return this.#messages.length;
  }

  /** Throws when a message of `bytes` does not fit. */
  checkRoom(bytes: number, topic: string): void {
    if (this.#messages.length < MAX_MESSAGES && this.#bytes + bytes <= MAX_BYTES) return;
    const held = `${this.#messages.length} messages (${this.#bytes} bytes)`;
    throw new Error(`a subscriber of topic '${topic}' is too slow: ${held} wait for it already`);
  }

  push(message: IncomingMessage): void {
    if (this.#closed) return;
    this.#messages.push(message);
    this.#bytes += message.data.byteLength;
    this.#signalReached();
    this.#running ??= this.#run();
  }

  /** Takes up to `count` messages out, oldest first. */
  take(count: number): IncomingMessage[] {
    const taken = this.#messages.splice(0, count);
    for (const message of taken) this.#bytes -= message.data.byteLength;
    return taken;
  }

  /** Calls `call` once when `count` messages wait, or when the queue closes. */
  whenReached(count: number, call: () => void): void {
    this.#reached = { count, call };
    this.#signalReached();
  }

  /** Drops what waits; resolves when the work under way is done. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#messages = [];
    this.#bytes = 0;
    this.#signalReached();
    await this.#running;
  }

  async #run(): Promise<void> {
    // The publisher's call returns first.
    await Promise.resolve();
    while (this.#messages.length > 0 && !this.#closed) await this.#work(this);
    this.#running = undefined;
  }

  #signalReached(): void {
    const reached = this.#reached;
    if (reached === undefined || (this.#messages.length < reached.count && !this.#closed)) return;
    this.#reached = undefined;
    reached.call();
  }
}

/**
 * Sends what is ready at the same moment in one request of the far side's bulk publish API, a request per topic. The
 * messages of a batch have different order keys (the spool has one of each under way), because daprd publishes the entries
 * of a batch in parallel. A bounded number of batches is on its way while the next gathers: a lost answer repeats its batch
 * and no more.
 */

import { errorText } from '../../../runtime/contracts/error.ts';
import type { DeliveryOutcome, StoredMessage } from '../../../runtime/contracts/spool.ts';

export interface BulkAnswer {
  readonly status: number;
  readonly body: Uint8Array;
}

export interface BulkSenderOptions {
  readonly maxMessages: number;
  readonly maxBytes: number;
  /** Requests under way at the same time: over a long link one after another leaves it idle. */
  readonly maxBatches: number;
  /** `<pubsub>/<topic>` over there; undefined: the message must go alone. */
  readonly target: (message: StoredMessage) => string | undefined;
  /** Sends a body to the bulk API of a target; rejects when nobody is there. */
  readonly send: (target: string, body: Uint8Array, signal: AbortSignal) => Promise<BulkAnswer>;
  /** Sends one message by itself: what no batch can hold, and batches that were refused as a whole. */
  readonly single: (message: StoredMessage, signal: AbortSignal) => Promise<DeliveryOutcome>;
  /** Metadata of the entry. */
  readonly metadata: (message: StoredMessage) => Readonly<Record<string, string>>;
}

interface Waiting {
  readonly message: StoredMessage;
  readonly signal: AbortSignal;
  readonly target: string;
  readonly entry: Uint8Array;
  readonly resolve: (outcome: DeliveryOutcome) => void;
}

const JSON_TYPE = /^application\/(?:[^;]*\+)?json\b/i;
const BINARY_TYPE = /^application\/octet-stream\b/i;
/** Far sides without the bulk API. */
const NO_BULK = new Set([404, 405, 501]);
/** It has the API and lacks the component, which says nothing of the API. */
const OF_THE_COMPONENT = /"errorCode":"ERR_PUBSUB/;

export class BulkSender {
  readonly #options: BulkSenderOptions;
  #waiting: Waiting[] = [];
  #sending = 0;
  #scheduled = false;
  #supported = true;

  constructor(options: BulkSenderOptions) {
    this.#options = options;
  }

  deliver(message: StoredMessage, signal: AbortSignal): Promise<DeliveryOutcome> {
    const target = this.#supported ? this.#options.target(message) : undefined;
    const entry = target === undefined ? undefined : this.#entry(message);
    if (target === undefined || entry === undefined) return this.#options.single(message, signal);
    return new Promise((resolve) => {
      this.#waiting.push({ message, signal, target, entry, resolve });
      this.#schedule();
    });
  }

  #schedule(): void {
    if (this.#scheduled || !this.#mayStart()) return;
    this.#scheduled = true;
    // What else becomes ready in this turn goes along.
    setImmediate(() => {
      this.#scheduled = false;
      while (this.#mayStart()) {
        this.#sending += 1;
        void this.#sendBatch(this.#take()).finally(() => {
          this.#sending -= 1;
          this.#schedule();
        });
      }
    });
  }

  /** The more is under way, the fuller the next batch must be. */
  #mayStart(): boolean {
    const { maxBatches, maxMessages } = this.#options;
    if (this.#waiting.length === 0 || this.#sending >= maxBatches) return false;
    return this.#sending * 2 < maxBatches || this.#waiting.length * 2 >= maxMessages;
  }

  /** The oldest that wait and have one target. */
  #take(): Waiting[] {
    const { maxMessages, maxBytes } = this.#options;
    const target = this.#waiting[0]?.target;
    const batch: Waiting[] = [];
    const rest: Waiting[] = [];
    let bytes = 0;
    let full = false;
    for (const one of this.#waiting) {
      const fits: boolean = !full && one.target === target;
      if (fits) bytes += one.entry.byteLength;
      if (fits && (batch.length === 0 || (batch.length < maxMessages && bytes <= maxBytes))) batch.push(one);
      else {
        full ||= fits;
        rest.push(one);
      }
    }
    this.#waiting = rest;
    return batch;
  }

  async #sendBatch(batch: readonly Waiting[]): Promise<void> {
    const first = batch[0];
    if (first === undefined) return;
    if (batch.length === 1) return await this.#one(first);
    try {
      await this.#settle(batch, await this.#options.send(first.target, bodyOf(batch), first.signal));
    } catch (error) {
      for (const { resolve } of batch) resolve({ retry: errorText(error) });
    }
  }

  async #settle(batch: readonly Waiting[], answer: BulkAnswer): Promise<void> {
    const good = answer.status >= 200 && answer.status < 300;
    const failed = good ? new Map<string, string>() : failedEntries(answer.body);
    if (failed === undefined) {
      const text = Buffer.from(answer.body).toString('utf8');
      if (NO_BULK.has(answer.status) && !OF_THE_COMPONENT.test(text)) this.#supported = false;
      // Refused as a whole: which of them is at fault shows one by one.
      await Promise.all(batch.map((one) => this.#one(one)));
      return;
    }
    const whole = batch.every(({ message }) => failed.has(message.id));
    const again: Waiting[] = [];
    for (const one of batch) {
      const error = failed.get(one.message.id);
      if (error === undefined) one.resolve('delivered');
      // The far broker is in trouble.
      else if (whole) one.resolve({ retry: error });
      else again.push(one);
    }
    // Alone, what ails them shows by the status: whether they are to be parked or tried again.
    await Promise.all(again.map((one) => this.#one(one)));
  }

  async #one({ message, signal, resolve }: Waiting): Promise<void> {
    resolve(await this.#options.single(message, signal));
  }

  /** The entry of a message; undefined when it must go alone. */
  #entry(message: StoredMessage): Uint8Array | undefined {
    const contentType = message.headers['contentType'] ?? 'application/json';
    const payload = Buffer.from(
      message.payload.buffer,
      message.payload.byteOffset,
      message.payload.byteLength,
    );
    let event: Buffer;
    if (JSON_TYPE.test(contentType)) {
      if (!isJson(payload)) return undefined;
      event = payload;
    } else {
      event = Buffer.from(
        JSON.stringify(payload.toString(BINARY_TYPE.test(contentType) ? 'base64' : 'utf8')),
      );
    }
    const metadata = JSON.stringify(this.#options.metadata(message));
    const head = `{"entryId":"${message.id}","contentType":${JSON.stringify(contentType)},"metadata":${metadata},"event":`;
    return Buffer.concat([Buffer.from(head), event, Buffer.from('}')]);
  }
}

function isJson(payload: Buffer): boolean {
  try {
    JSON.parse(payload.toString('utf8'));
    return true;
  } catch {
    return false;
  }
}

function bodyOf(batch: readonly Waiting[]): Uint8Array {
  const parts: Uint8Array[] = [];
  batch.forEach(({ entry }, index) => {
    parts.push(Buffer.from(index === 0 ? '[' : ','), entry);
  });
  parts.push(Buffer.from(']'));
  return Buffer.concat(parts);
}

/** Errors by entry id, when the far side took the rest of the batch; undefined when it says nothing of entries. */
function failedEntries(body: Uint8Array): ReadonlyMap<string, string> | undefined {
  try {
    const { failedEntries: failed } = JSON.parse(Buffer.from(body).toString('utf8')) as {
      failedEntries?: readonly { readonly entryId?: string; readonly error?: string }[];
    };
    if (!Array.isArray(failed) || failed.length === 0) return undefined;
    return new Map(failed.map(({ entryId, error }) => [String(entryId), error ?? 'refused']));
  } catch {
    return undefined;
  }
}

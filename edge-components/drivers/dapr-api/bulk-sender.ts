/**
 * Sends what is ready at the same moment in one request of the far side's bulk publish API. The messages of a batch have
 * different order keys (the spool has one of each under way), because daprd publishes the entries of a batch in parallel.
 * One batch is on its way while the next gathers, so a lost answer repeats one batch at most.
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
  /** Sends a body to the bulk API; rejects when nobody is there. */
  readonly send: (body: Uint8Array, signal: AbortSignal) => Promise<BulkAnswer>;
  /** Sends one message by itself: what no batch can hold, and batches that were refused as a whole. */
  readonly single: (message: StoredMessage, signal: AbortSignal) => Promise<DeliveryOutcome>;
  /** Request metadata of a message, as the entry's metadata. */
  readonly metadata: (message: StoredMessage) => Readonly<Record<string, string>>;
}

interface Waiting {
  readonly message: StoredMessage;
  readonly signal: AbortSignal;
  readonly entry: Uint8Array;
  readonly resolve: (outcome: DeliveryOutcome) => void;
}

const JSON_TYPE = /^application\/(?:[^;]*\+)?json\b/i;
const BINARY_TYPE = /^application\/octet-stream\b/i;
/** Far sides without the bulk API. */
const NO_BULK = new Set([404, 405, 501]);

export class BulkSender {
  readonly #options: BulkSenderOptions;
  #waiting: Waiting[] = [];
  #sending = false;
  #scheduled = false;
  #supported = true;

  constructor(options: BulkSenderOptions) {
    this.#options = options;
  }

  deliver(message: StoredMessage, signal: AbortSignal): Promise<DeliveryOutcome> {
    const entry = this.#supported ? this.#entry(message) : undefined;
    if (entry === undefined) return this.#options.single(message, signal);
    return new Promise((resolve) => {
      this.#waiting.push({ message, signal, entry, resolve });
      this.#schedule();
    });
  }

  #schedule(): void {
    if (this.#sending || this.#scheduled || this.#waiting.length === 0) return;
    this.#scheduled = true;
    // What else becomes ready in this turn goes along.
    setImmediate(() => {
      this.#scheduled = false;
      this.#sending = true;
      void this.#sendBatch(this.#take()).finally(() => {
        this.#sending = false;
        this.#schedule();
      });
    });
  }

  #take(): Waiting[] {
    let count = 0;
    let bytes = 0;
    for (const { entry } of this.#waiting) {
      bytes += entry.byteLength;
      if (count > 0 && (count >= this.#options.maxMessages || bytes > this.#options.maxBytes)) break;
      count += 1;
    }
    return this.#waiting.splice(0, count);
  }

  async #sendBatch(batch: readonly Waiting[]): Promise<void> {
    const first = batch[0];
    if (first === undefined) return;
    if (batch.length === 1) {
      first.resolve(await this.#options.single(first.message, first.signal));
      return;
    }
    try {
      await this.#settle(batch, await this.#options.send(bodyOf(batch), first.signal));
    } catch (error) {
      for (const { resolve } of batch) resolve({ retry: errorText(error) });
    }
  }

  async #settle(batch: readonly Waiting[], answer: BulkAnswer): Promise<void> {
    const good = answer.status >= 200 && answer.status < 300;
    const failed = good ? new Map<string, string>() : failedEntries(answer.body);
    if (failed !== undefined) {
      for (const { message, resolve } of batch) {
        const error = failed.get(message.id);
        resolve(error === undefined ? 'delivered' : { retry: error });
      }
      return;
    }
    if (NO_BULK.has(answer.status)) this.#supported = false;
    // Refused as a whole: which of them is at fault shows one by one.
    for (const { message, signal, resolve } of batch) resolve(await this.#options.single(message, signal));
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
    const metadata = { 'cloudevent.id': message.id, ...this.#options.metadata(message) };
    const head = `{"entryId":"${message.id}","contentType":${JSON.stringify(contentType)},"metadata":${JSON.stringify(metadata)},"event":`;
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

/**
 * The body of a request, read once and never beyond the limit. A body that is too long is not answered with 413: each
 * endpoint reports `stream too large` in its own way (Dapr HTTP reference, section 2.4).
 */

import type { IncomingMessage } from 'node:http';
import type { Body } from '../contracts/app-channel.ts';

/** The body is longer than `--max-body-size` allows. */
export class BodyTooLargeError extends Error {
  override readonly name = 'BodyTooLargeError';
  constructor() {
    super('stream too large');
  }
}

/** The client went away before its body was complete. */
export class BodyAbortedError extends Error {
  override readonly name = 'BodyAbortedError';
  constructor() {
    super('unexpected EOF');
  }
}

const NOTHING = new Uint8Array(0);
/**
 * What is read and thrown away after a refusal, beyond what would have been taken anyway: a client that is still
 * sending when the connection ends may lose the answer.
 */
const DISCARD_BYTES = 1024 * 1024;
/** RFC 9113, section 7. */
const HTTP2_CANCEL = 8;

/** Where the bytes of a request come from. */
export interface RequestBody {
  /** Length when it is known before reading. */
  readonly length: number | undefined;
  /** Reads it whole; rejects with `BodyTooLargeError`. */
  bytes(): Promise<Uint8Array>;
  /** Reads it as it arrives; throws `BodyTooLargeError` once it grows too long. */
  stream(): AsyncIterable<Uint8Array>;
  /** Asked now and then; ends the connection when somebody waits for the whole body and nothing came since the last two times. */
  dropIfStalled?(): void;
}

/** A body of known bytes. */
export function wholeBody(bytes: Uint8Array): RequestBody {
  return {
    length: bytes.byteLength,
    bytes: () => Promise.resolve(bytes),
    async *stream() {
      if (bytes.byteLength > 0) yield bytes;
    },
  };
}

export const NO_BODY: RequestBody = wholeBody(NOTHING);

/** The body that arrives on a connection. */
export class IncomingBody implements RequestBody {
  readonly length: number | undefined;
  readonly #source: IncomingMessage;
  readonly #limit: number;
  /** Bytes received while it is read whole; `undefined`: nobody waits for it. */
  #received: number | undefined;
  #receivedBefore: number | undefined;

  /** `limit` 0 or below: no limit. */
  constructor(source: IncomingMessage, length: number | undefined, limit: number) {
    this.#source = source;
    this.length = length;
    this.#limit = limit > 0 ? limit : Number.POSITIVE_INFINITY;
  }

  bytes(): Promise<Uint8Array> {
    if (this.length !== undefined && this.length > this.#limit) return Promise.reject(this.#refuse());
    return new Promise((resolve, reject) => {
      const source = this.#source;
      const chunks: Uint8Array[] = [];
      let size = 0;
      let ended = false;
      this.#received = 0;
      source.on('data', (chunk: Uint8Array) => {
        if (size > this.#limit) return;
        size += chunk.byteLength;
        this.#received = size;
        if (size <= this.#limit) chunks.push(chunk);
        else reject(this.#refuse());
      });
      source.on('end', () => {
        ended = true;
        this.#received = undefined;
        resolve(joinChunks(chunks));
      });
      source.on('error', () => reject(new BodyAbortedError()));
      // Comes after every request; an error, with its stack, is made only where it means something.
      source.on('close', () => {
        if (!ended) reject(new BodyAbortedError());
      });
    });
  }

  async *stream(): AsyncIterable<Uint8Array> {
    if (this.length !== undefined && this.length > this.#limit) throw this.#refuse();
    let size = 0;
    try {
      for await (const chunk of this.#source.iterator({
        destroyOnReturn: false,
      }) as AsyncIterable<Uint8Array>) {
        size += chunk.byteLength;
        if (size > this.#limit) break;
        yield chunk;
      }
    } catch {
      throw new BodyAbortedError();
    }
    if (size > this.#limit) throw this.#refuse();
  }

  dropIfStalled(): void {
    if (this.#received === undefined) return;
    if (this.#received === this.#receivedBefore) this.#drop();
    this.#receivedBefore = this.#received;
  }

  /** Nothing more is taken: HTTP/1 loses the connection, HTTP/2 the stream (whose request object does not end it). */
  #drop(): void {
    const source = this.#source as IncomingMessage & { readonly stream?: { close(code: number): void } };
    if (source.stream === undefined) source.destroy();
    else source.stream.close(HTTP2_CANCEL);
  }

  #refuse(): BodyTooLargeError {
    const source = this.#source;
    const most = this.#limit + DISCARD_BYTES;
    let discarded = 0;
    source.on('data', (chunk: Uint8Array) => {
      discarded += chunk.byteLength;
      if (discarded > most) this.#drop();
    });
    return new BodyTooLargeError();
  }
}

/** Joins chunks; one chunk is returned as it is. */
export function joinChunks(chunks: readonly Uint8Array[]): Uint8Array {
  const [first] = chunks;
  if (first === undefined) return NOTHING;
  return chunks.length === 1 ? first : Buffer.concat(chunks);
}

/** Reads an iterable to its end. */
export async function collect(source: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of source) chunks.push(chunk);
  return joinChunks(chunks);
}

/** Bodies up to this size are read before an invocation starts, so that it can be repeated. */
const REPLAY_BYTES = 4 * 1024 * 1024;

/** The body of an invocation: whole (replayable) when its length is known and moderate, else streamed straight through. */
export async function invokeBody(body: RequestBody): Promise<Body> {
  if (body.length === undefined) return { stream: () => body.stream() };
  if (body.length > REPLAY_BYTES) return { length: body.length, stream: () => body.stream() };
  const bytes = body.length === 0 ? NOTHING : await body.bytes();
  return { bytes, length: bytes.byteLength, stream: () => wholeBody(bytes).stream() };
}

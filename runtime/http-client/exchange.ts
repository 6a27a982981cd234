/** What the HTTP/1 and HTTP/2 transports have in common: sending a body with backpressure and receiving one. */

import type { Readable, Writable } from 'node:stream';
import type { Body } from '../contracts/app-channel.ts';
import { bytesBody, EMPTY_BODY, joinChunks, streamBody } from '../contracts/body.ts';
import { countPassing } from '../contracts/passing-bytes.ts';

/** Bodies up to this size are read before the response is handed out: one promise, no stream. */
const WHOLE_BODY_LIMIT = 64 * 1024;

/** Value of a header in a flat list; the first one wins. */
export function flatHeader(headers: readonly string[], lowerName: string): string | undefined {
  for (let i = 0; i + 1 < headers.length; i += 2) {
    const name = headers[i] as string;
    if (name.length === lowerName.length && name.toLowerCase() === lowerName) return headers[i + 1];
  }
  return undefined;
}

/** Whether a response to `verb` with `status` never has a body. */
function bodiless(verb: string, status: number): boolean {
  return verb === 'HEAD' || status === 204 || status === 304;
}

/**
 * Hands the response body of `source` to `ready`: complete when it is short or here already, as a stream otherwise. A
 * short body that breaks off goes to `failed`; one whose server closed the connection in good order before the length it
 * had announced is what has come, as in Dapr.
 */
export function receiveBody(
  source: Readable,
  verb: string,
  status: number,
  headers: readonly string[],
  ready: (body: Body) => void,
  failed: (cause: Error) => void,
): void {
  if (bodiless(verb, status)) {
    source.resume();
    ready(EMPTY_BODY);
    return;
  }
  const text = flatHeader(headers, 'content-length');
  const length = text === undefined ? undefined : Number(text);
  if (length === 0) {
    source.resume();
    ready(EMPTY_BODY);
  } else if (length === undefined || Number.isNaN(length)) {
    // The head is announced before the rest of its packet is parsed; then a short chunked body is often here already.
    process.nextTick(() => {
      if ((source as { readonly complete?: boolean }).complete === true) readWhole(source, ready, failed);
      else ready(streamBody(source));
    });
  } else if (length <= WHOLE_BODY_LIMIT) {
    readWhole(source, ready, failed);
  } else {
    ready(streamBody(source, length));
  }
}

function readWhole(source: Readable, ready: (body: Body) => void, failed: (cause: Error) => void): void {
  const chunks: Uint8Array[] = [];
  source.on('data', (chunk: Uint8Array) => chunks.push(chunk));
  source.on('end', () => ready(bytesBody(joinChunks(chunks))));
  source.on('error', (cause) => {
    if ((source as { readonly socket?: Readable | null }).socket?.readableEnded === true)
      ready(bytesBody(joinChunks(chunks)));
    else failed(cause);
  });
}

/** Writes a streamed body; an error of its reader destroys the request with that error. */
export async function pumpBody(source: AsyncIterable<Uint8Array>, target: Writable): Promise<void> {
  try {
    for await (const chunk of source) {
      if (target.destroyed || target.writableEnded) return;
      countPassing(chunk.byteLength);
      if (!target.write(chunk)) await drained(target);
    }
    target.end();
  } catch (cause) {
    target.destroy(cause instanceof Error ? cause : new Error(String(cause)));
  }
}

function drained(target: Writable): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      target.off('drain', done);
      target.off('close', done);
      resolve();
    };
    target.on('drain', done);
    target.on('close', done);
  });
}

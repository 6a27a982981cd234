/** Writes an answer to the socket: whole bodies in one piece, streams chunk by chunk with backpressure. */

import type { ServerResponse } from 'node:http';
import { countPassing } from '../contracts/passing-bytes.ts';
import type { Reply } from './respond.ts';

/** Bodies up to this size go out in one write together with the head. */
const ONE_WRITE_BYTES = 16 * 1024;

/** Of the HTTP/2 compatibility object, which is no Writable: its state is that of the stream. */
type Http2Part = { readonly stream?: { readonly destroyed: boolean; close(code: number): void } };
/** RFC 9113, section 7: INTERNAL_ERROR. */
const HTTP2_INTERNAL_ERROR = 2;

/** Whether nobody is there to read an answer. */
export function isGone(response: ServerResponse): boolean {
  return response.destroyed || (response as Http2Part).stream?.destroyed === true;
}

/** Ends an answer in the middle, so that its reader notices. */
export function breakOff(response: ServerResponse): void {
  const { stream } = response as Http2Part;
  if (stream === undefined) response.destroy();
  else stream.close(HTTP2_INTERNAL_ERROR);
}

/** Whether an answer to `method` with `status` never has a body. */
export function isBodiless(method: string, status: number): boolean {
  return method === 'HEAD' || status === 204 || status === 304;
}

/** Sends a whole body (or none); returns its size. `headers` is completed in place. */
export function sendWhole(response: ServerResponse, method: string, reply: Reply, headers: string[]): number {
  const body = reply.body as string | Uint8Array | undefined;
  const size =
    body === undefined ? 0 : typeof body === 'string' ? Buffer.byteLength(body, 'utf8') : body.byteLength;
  if (reply.status !== 204 && reply.status !== 304) headers.push('Content-Length', String(size));
  response.writeHead(reply.status, headers);
  if (size === 0 || body === undefined || isBodiless(method, reply.status)) {
    response.end();
    return 0;
  }
  if (typeof body === 'string') response.end(body, 'utf8');
  else if (size <= ONE_WRITE_BYTES) {
    // One character a byte: node:http joins head and body into a single write only for strings.
    response.end(Buffer.from(body.buffer, body.byteOffset, size).toString('latin1'), 'latin1');
  } else response.end(body);
  return size;
}

/** Sends a stream; resolves with its size once all was written or the client is gone. Rejects before the head only. */
export async function sendStream(
  response: ServerResponse,
  method: string,
  reply: Reply,
  headers: string[],
): Promise<number> {
  const chunks = (reply.body as AsyncIterable<Uint8Array>)[Symbol.asyncIterator]();
  if (isBodiless(method, reply.status)) {
    await chunks.return?.();
    response.writeHead(reply.status, headers);
    response.end();
    return 0;
  }
  if (reply.length !== undefined) headers.push('Content-Length', String(reply.length));
  if (reply.eager === true) {
    response.writeHead(reply.status, headers);
    response.flushHeaders();
  }
  const size = await relay(chunks, response, reply.status, headers);
  if (isGone(response)) {
    await chunks.return?.();
    return size;
  }
  if (!response.headersSent) {
    if (reply.length === undefined) headers.push('Content-Length', '0');
    response.writeHead(reply.status, headers);
  }
  response.end();
  return size;
}

/** Passes chunks on; the head goes out with the first one, so that a failure before it can still be answered. */
async function relay(
  chunks: AsyncIterator<Uint8Array>,
  response: ServerResponse,
  status: number,
  headers: string[],
): Promise<number> {
  let size = 0;
  try {
    for (let next = await chunks.next(); next.done !== true; next = await chunks.next()) {
      if (isGone(response)) break;
      if (!response.headersSent) response.writeHead(status, headers);
      size += next.value.byteLength;
      countPassing(next.value.byteLength);
      if (!response.write(next.value) && !isGone(response)) await drained(response);
    }
  } catch (error) {
    if (!response.headersSent) throw error;
    // Ending normally would make a cut answer look complete.
    breakOff(response);
  }
  return size;
}

function drained(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      response.off('drain', done);
      response.off('close', done);
      resolve();
    };
    response.on('drain', done);
    response.on('close', done);
  });
}

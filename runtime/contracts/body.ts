/** Bodies: whole ones from bytes, streamed ones from a reader, and the way back. */

import type { Body } from './app-channel.ts';

const NOTHING = new Uint8Array(0);

/** The empty body; replayable. */
export const EMPTY_BODY: Body = bytesBody(NOTHING);

/** A body that is complete in memory. */
export function bytesBody(bytes: Uint8Array): Body {
  return {
    bytes,
    length: bytes.byteLength,
    async *stream() {
      if (bytes.byteLength > 0) yield bytes;
    },
  };
}

/** A body that can be read once. */
export function streamBody(source: AsyncIterable<Uint8Array>, length?: number): Body {
  return length === undefined ? { stream: () => source } : { length, stream: () => source };
}

/** Joins chunks; one chunk is returned as it is. */
export function joinChunks(chunks: readonly Uint8Array[]): Uint8Array {
  if (chunks.length === 0) return NOTHING;
  const [first] = chunks;
  return chunks.length === 1 && first !== undefined ? first : Buffer.concat(chunks);
}

/** Reads a body to its end; rejects once it grows beyond `limit` bytes. */
export async function readBody(body: Body, limit = Number.POSITIVE_INFINITY): Promise<Uint8Array> {
  if (body.bytes !== undefined) {
    if (body.bytes.byteLength > limit) throw new Error('stream too large');
    return body.bytes;
  }
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of body.stream()) {
    size += chunk.byteLength;
    if (size > limit) throw new Error('stream too large');
    chunks.push(chunk);
  }
  return joinChunks(chunks);
}

/**
 * Length-prefixed messages of gRPC over HTTP/2: one byte flag (1 = compressed), four bytes length, then the message.
 * Bytes arrive cut anywhere, so a reader keeps what is incomplete and never trusts a length before checking it.
 */

import { GrpcCode } from '../grpc-code.ts';
import { GrpcStatusError } from './status.ts';

export const FRAME_HEADER_BYTES = 5;

export interface Frame {
  readonly compressed: boolean;
  readonly message: Uint8Array;
}

/** The five bytes before a message. */
export function frameHeader(length: number, compressed = false): Uint8Array {
  const header = new Uint8Array(FRAME_HEADER_BYTES);
  writeHeader(header, length, compressed);
  return header;
}

/** A message with its prefix, in one piece. */
export function encodeFrame(message: Uint8Array, compressed = false): Uint8Array {
  const frame = new Uint8Array(FRAME_HEADER_BYTES + message.byteLength);
  writeHeader(frame, message.byteLength, compressed);
  frame.set(message, FRAME_HEADER_BYTES);
  return frame;
}

function writeHeader(target: Uint8Array, length: number, compressed: boolean): void {
  target[0] = compressed ? 1 : 0;
  target[1] = (length >>> 24) & 0xff;
  target[2] = (length >>> 16) & 0xff;
  target[3] = (length >>> 8) & 0xff;
  target[4] = length & 0xff;
}

export interface FrameReader {
  /** Takes the next bytes of the stream; they must not be changed afterwards. */
  push(chunk: Uint8Array): void;
  /** The next complete message, `undefined` when more bytes are needed. Throws a `GrpcStatusError` on a bad prefix. */
  next(): Frame | undefined;
  /** Bytes received that belong to an incomplete message; more than 0 at the end of a stream is a cut message. */
  readonly pendingBytes: number;
}

/** Reads messages up to `maxMessageBytes` each. */
export function createFrameReader(maxMessageBytes: number): FrameReader {
  let chunks: Uint8Array[] = [];
  let offset = 0;
  let available = 0;
  // The prefix of the message being collected, once known.
  let length = -1;
  let compressed = false;

  const readHeader = (): void => {
    const header = take(FRAME_HEADER_BYTES);
    const flag = header[0] as number;
    if (flag > 1) {
      throw new GrpcStatusError(GrpcCode.Internal, `grpc: received unexpected payload format ${flag}`);
    }
    const announced =
      (((header[1] as number) << 24) |
        ((header[2] as number) << 16) |
        ((header[3] as number) << 8) |
        (header[4] as number)) >>>
      0;
    if (announced > maxMessageBytes) {
      throw new GrpcStatusError(
        GrpcCode.ResourceExhausted,
        `grpc: received message larger than max (${announced} vs. ${maxMessageBytes})`,
      );
    }
    length = announced;
    compressed = flag === 1;
  };

  const take = (count: number): Uint8Array => {
    available -= count;
    const first = chunks[0];
    if (first !== undefined && first.byteLength - offset >= count) {
      const part = first.subarray(offset, offset + count);
      offset += count;
      if (offset === first.byteLength) {
        chunks.shift();
        offset = 0;
      }
      return part;
    }
    return gather(count);
  };

  const gather = (count: number): Uint8Array => {
    const whole = new Uint8Array(count);
    let filled = 0;
    let used = 0;
    while (filled < count) {
      const chunk = chunks[used] as Uint8Array;
      const part = chunk.subarray(offset, Math.min(chunk.byteLength, offset + count - filled));
      whole.set(part, filled);
      filled += part.byteLength;
      if (offset + part.byteLength === chunk.byteLength) {
        used += 1;
        offset = 0;
      } else {
        offset += part.byteLength;
      }
    }
    chunks = chunks.slice(used);
    return whole;
  };

  return {
    push: (chunk) => {
      if (chunk.byteLength === 0) return;
      chunks.push(chunk);
      available += chunk.byteLength;
    },
    next: () => {
      if (length < 0) {
        if (available < FRAME_HEADER_BYTES) return undefined;
        readHeader();
      }
      if (available < length) return undefined;
      const message = take(length);
      length = -1;
      return { compressed, message };
    },
    get pendingBytes() {
      return available + (length < 0 ? 0 : FRAME_HEADER_BYTES);
    },
  };
}

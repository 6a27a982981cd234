/** Writing framed messages to an HTTP/2 stream under its back-pressure. */

import type { Writable } from 'node:stream';
import { encodeFrame, frameHeader } from '../contracts/grpc-wire/frame.ts';
import { countPassing } from '../contracts/passing-bytes.ts';

/** Above this a message is not copied behind its prefix; both are written one after the other. */
const COPY_LIMIT_BYTES = 32 * 1024;

/** Queues a message. `undefined`: more may follow at once; otherwise wait for the promise (drained or closed). */
export function writeMessage(
  stream: Writable,
  message: Uint8Array,
  compressed = false,
): Promise<void> | undefined {
  if (stream.destroyed || stream.writableEnded) return undefined;
  countPassing(message.byteLength);
  if (message.byteLength <= COPY_LIMIT_BYTES) {
    return stream.write(encodeFrame(message, compressed)) ? undefined : drained(stream);
  }
  stream.cork();
  stream.write(frameHeader(message.byteLength, compressed));
  const free = stream.write(message);
  stream.uncork();
  return free ? undefined : drained(stream);
}

function drained(stream: Writable): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      stream.off('drain', done);
      stream.off('close', done);
      resolve();
    };
    stream.on('drain', done);
    stream.on('close', done);
  });
}

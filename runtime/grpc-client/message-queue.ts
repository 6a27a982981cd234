/**
 * Messages of one direction of a stream, between the bytes that HTTP/2 delivers and the reader that asks for whole
 * messages. Past the high-water mark the stream is paused, so HTTP/2 flow control holds the sender back.
 */

import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { GrpcCode } from '../contracts/grpc-code.ts';
import { createFrameReader, type Frame } from '../contracts/grpc-wire/frame.ts';
import { GrpcStatusError } from '../contracts/grpc-wire/status.ts';

const HIGH_WATER_BYTES = 64 * 1024;
/** What a waiting message takes besides its bytes; empty ones must count too. */
const FRAME_BYTES = 64;

const inflate = promisify(gunzip);

export interface MessageQueueOptions {
  readonly maxMessageBytes: number;
  /** `grpc-encoding` of the stream, asked when a compressed message comes; absent or `identity`: there is none. */
  encoding(): string | undefined;
  pause(): void;
  resume(): void;
  /** The reader left a loop early. */
  abandoned?(): void;
}

export interface MessageQueue extends AsyncIterable<Uint8Array> {
  /** Bytes from the stream. Returns the error when they are no gRPC messages: the queue has then failed with it. */
  data(chunk: Uint8Array): GrpcStatusError | undefined;
  /** No more bytes; with `error` the reader gets it once it has taken what was complete before. */
  finish(error?: Error): void;
  /** The next message, `undefined` at the end. One reader at a time. */
  next(): Promise<Uint8Array | undefined>;
}

interface Waiter {
  resolve(message: Uint8Array | undefined | Promise<Uint8Array>): void;
  reject(error: Error): void;
}

/** An empty queue for one stream. */
export function createMessageQueue(options: MessageQueueOptions): MessageQueue {
  const reader = createFrameReader(options.maxMessageBytes);
  const ready: Frame[] = [];
  let readyBytes = 0;
  let paused = false;
  let finished = false;
  let failure: Error | undefined;
  let waiter: Waiter | undefined;

  const open = (frame: Frame): Uint8Array | Promise<Uint8Array> =>
    frame.compressed ? decompress(frame.message, options.encoding(), options.maxMessageBytes) : frame.message;

  const finish = (error?: Error): void => {
    if (finished) return;
    finished = true;
    failure =
      error ??
      (reader.pendingBytes > 0 ? new GrpcStatusError(GrpcCode.Internal, 'unexpected EOF') : undefined);
    if (waiter === undefined) return;
    const waiting = waiter;
    waiter = undefined;
    if (failure === undefined) waiting.resolve(undefined);
    else waiting.reject(failure);
  };

  const accept = (frame: Frame): void => {
    if (waiter !== undefined) {
      const waiting = waiter;
      waiter = undefined;
      waiting.resolve(open(frame) as Promise<Uint8Array>);
      return;
    }
    ready.push(frame);
    readyBytes += frame.message.byteLength + FRAME_BYTES;
  };

  const data = (chunk: Uint8Array): GrpcStatusError | undefined => {
    if (finished) return undefined;
    reader.push(chunk);
    try {
      for (let frame = reader.next(); frame !== undefined; frame = reader.next()) accept(frame);
    } catch (error) {
      finish(error as GrpcStatusError);
      return error as GrpcStatusError;
    }
    if (readyBytes > HIGH_WATER_BYTES && !paused) {
      paused = true;
      options.pause();
    }
    return undefined;
  };

  const next = (): Promise<Uint8Array | undefined> => {
    const frame = ready.shift();
    if (frame !== undefined) {
      readyBytes -= frame.message.byteLength + FRAME_BYTES;
      if (paused && readyBytes <= HIGH_WATER_BYTES) {
        paused = false;
        options.resume();
      }
      return Promise.resolve(open(frame));
    }
    if (finished) return failure === undefined ? Promise.resolve(undefined) : Promise.reject(failure);
    return new Promise((resolve, reject) => {
      waiter = { resolve, reject };
    });
  };

  return {
    data,
    finish,
    next,
    [Symbol.asyncIterator]: () => ({
      next: async (): Promise<IteratorResult<Uint8Array>> => {
        const value = await next();
        return value === undefined ? { done: true, value } : { done: false, value };
      },
      return: async (): Promise<IteratorResult<Uint8Array>> => {
        options.abandoned?.();
        return { done: true, value: undefined };
      },
    }),
  };
}

async function decompress(
  bytes: Uint8Array,
  encoding: string | undefined,
  maxBytes: number,
): Promise<Uint8Array> {
  if (encoding === undefined || encoding === '' || encoding === 'identity') {
    throw new GrpcStatusError(GrpcCode.Internal, 'grpc: compressed flag set with identity or empty encoding');
  }
  if (encoding !== 'gzip') {
    throw new GrpcStatusError(
      GrpcCode.Unimplemented,
      `grpc: Decompressor is not installed for grpc-encoding "${encoding}"`,
    );
  }
  try {
    return await inflate(bytes, { maxOutputLength: Math.max(1, maxBytes) });
  } catch (cause) {
    if ((cause as { code?: string }).code === 'ERR_BUFFER_TOO_LARGE') {
      throw new GrpcStatusError(
        GrpcCode.ResourceExhausted,
        `grpc: received message after decompression larger than max ${maxBytes}`,
      );
    }
    throw new GrpcStatusError(GrpcCode.Internal, 'grpc: failed to decompress the received message', {
      cause,
    });
  }
}

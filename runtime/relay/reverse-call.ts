/**
 * A call of a node on one of the streams that its relay keeps waiting, as the same `GrpcStream` that any other target gives:
 * what sends calls to sidecars does not know which way they take.
 */

import type { ServerHttp2Stream } from 'node:http2';
import type { HeaderList } from '../contracts/app-channel.ts';
import type { Clock } from '../contracts/clock.ts';
import { GrpcCode } from '../contracts/grpc-code.ts';
import { encodeFrame } from '../contracts/grpc-wire/frame.ts';
import { addMetadata } from '../contracts/grpc-wire/metadata.ts';
import { GrpcStatusError } from '../contracts/grpc-wire/status.ts';
import { abortStatus, deadlineExceeded } from '../grpc-client/abort-status.ts';
import type { GrpcCallOptions, GrpcStream } from '../grpc-client/call.ts';
import { createMessageQueue } from '../grpc-client/message-queue.ts';
import { writeMessage } from '../grpc-client/write-message.ts';
import { type AnswerFrame, decodeAnswer } from './answer-frames.ts';
import {
  type AnswerEnd,
  CALLEE_FIELD,
  CALLER_FIELD,
  DATA,
  HEAD,
  NAMESPACE_FIELD,
  PACKING_FIELD,
  PATH_FIELD,
  TIMEOUT_FIELD,
  withoutLinkFields,
} from './protocol.ts';
import { messageLimit } from './sidecar-message.ts';

export interface ReverseCall {
  readonly path: string;
  readonly caller: string;
  readonly callee: string;
  readonly namespace: string;
  /** Of a call to the sidecar beside the relay: how its messages are packed. */
  readonly packing?: string | undefined;
}

export interface ReverseCallOptions extends GrpcCallOptions {
  readonly clock: Clock;
  readonly maxMessageBytes: number;
}

const CANCEL = 8;
const LOST = new GrpcStatusError(GrpcCode.Unavailable, 'the link to the relay was lost');
// The typings do not know `sendDate`, which Node takes.
const NO_DATE: object = { sendDate: false };

/** Sends the head of the call on `stream`. */
export function startReverseCall(
  stream: ServerHttp2Stream,
  call: ReverseCall,
  options: ReverseCallOptions,
): GrpcStream {
  let trailers: HeaderList = [];
  let settled = false;
  /** The end came, and was well. */
  let ended = false;
  let passHeaders: (headers: HeaderList) => void = () => {};
  let failHeaders: (error: Error) => void = () => {};
  const headers = new Promise<HeaderList>((resolve, reject) => {
    passHeaders = resolve;
    failHeaders = reject;
  });
  headers.catch(() => {});
  const queue = createMessageQueue({
    // The kind of a message comes on top.
    maxMessageBytes: messageLimit(call.path, options.maxMessageBytes) + 1,
    encoding: () => undefined,
    pause: () => void stream.pause(),
    resume: () => void stream.resume(),
    abandoned: () => cancel(),
  });

  const settle = (error: GrpcStatusError | undefined): void => {
    if (settled) return;
    settled = true;
    timer?.cancel();
    options.signal?.removeEventListener('abort', aborted);
    if (error === undefined) passHeaders([]);
    else failHeaders(error);
    queue.finish(error);
  };
  const cancel = (reason?: GrpcStatusError): void => {
    settle(reason ?? new GrpcStatusError(GrpcCode.Canceled, 'context canceled'));
    if (!stream.destroyed) stream.close(CANCEL);
  };
  const aborted = (): void => cancel(abortStatus(options.signal?.reason));
  const timer =
    options.timeoutMs === undefined
      ? undefined
      : options.clock.startTimer(options.timeoutMs, () => cancel(deadlineExceeded()), true);

  const finish = (end: AnswerEnd): GrpcStatusError | undefined => {
    trailers = end.trailers;
    if (!stream.writableEnded && !stream.destroyed) stream.end();
    const error =
      end.code === GrpcCode.OK
        ? undefined
        : new GrpcStatusError(end.code, end.message, {
            trailers,
            ...(end.details === undefined ? {} : { details: Buffer.from(end.details, 'base64') }),
          });
    ended = error === undefined;
    settle(error);
    return error;
  };
  /** The next frame; an answer that stops without its end was cut off. */
  const nextFrame = async (): Promise<AnswerFrame> => {
    try {
      const bytes = await queue.next();
      if (bytes === undefined) throw LOST;
      return decodeAnswer(bytes);
    } catch (error) {
      settle(error instanceof GrpcStatusError ? error : LOST);
      throw error;
    }
  };
  const next = async (): Promise<Uint8Array | undefined> => {
    while (!ended) {
      const frame = await nextFrame();
      if (frame.kind === DATA) return frame.message;
      if (frame.kind === HEAD) passHeaders(frame.head.headers);
      else {
        const error = finish(frame.end);
        if (error !== undefined) throw error;
      }
    }
    return undefined;
  };

  stream.on('data', (chunk: Uint8Array) => {
    const fault = queue.data(chunk);
    if (fault !== undefined) cancel(fault);
  });
  stream.on('error', () => {});
  stream.on('end', () => queue.finish());
  stream.on('close', () => queue.finish(LOST));
  if (options.signal?.aborted === true) aborted();
  else options.signal?.addEventListener('abort', aborted, { once: true });
  if (!stream.destroyed) stream.respond(headFields(call, options), NO_DATE);

  return {
    headers,
    messages: {
      [Symbol.asyncIterator]: () => ({
        next: async () => {
          const value = await next();
          return value === undefined ? { done: true, value } : { done: false, value };
        },
        return: async () => {
          cancel();
          return { done: true, value: undefined };
        },
      }),
    },
    next,
    trailers: () => trailers,
    send: (message) => writeMessage(stream, message),
    end: (last) => {
      if (stream.destroyed || stream.writableEnded) return;
      if (last === undefined) stream.end();
      else stream.end(encodeFrame(last));
    },
    cancel,
  };
}

function headFields(call: ReverseCall, options: GrpcCallOptions): Record<string, string | string[]> {
  const fields: Record<string, string | string[]> = {
    ':status': '200',
    'content-type': options.contentType ?? 'application/grpc',
    [PATH_FIELD]: call.path,
    [CALLER_FIELD]: call.caller,
    [CALLEE_FIELD]: call.callee,
    [NAMESPACE_FIELD]: call.namespace,
    ...(call.packing === undefined ? {} : { [PACKING_FIELD]: call.packing }),
    ...(options.timeoutMs === undefined ? {} : { [TIMEOUT_FIELD]: String(Math.ceil(options.timeoutMs)) }),
  };
  if (options.metadata !== undefined) addMetadata(fields, withoutLinkFields(options.metadata));
  return fields;
}

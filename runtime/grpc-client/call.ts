/**
 * One outgoing call on an HTTP/2 session: request headers out, messages both ways, status from trailers (or from headers
 * alone). Whatever ends the stream first decides the outcome, and exactly one outcome is reported.
 */

import type { ClientHttp2Session, ClientHttp2Stream, IncomingHttpHeaders } from 'node:http2';
import type { HeaderList } from '../contracts/app-channel.ts';
import type { Clock } from '../contracts/clock.ts';
import { GrpcCode } from '../contracts/grpc-code.ts';
import { encodeFrame } from '../contracts/grpc-wire/frame.ts';
import { addMetadata, metadataFromRawHeaders } from '../contracts/grpc-wire/metadata.ts';
import {
  codeOfHttpStatus,
  codeOfReset,
  type GrpcStatus,
  GrpcStatusError,
  statusOfTrailers,
} from '../contracts/grpc-wire/status.ts';
import { formatTimeout } from '../contracts/grpc-wire/timeout.ts';
import { abortStatus, deadlineExceeded } from './abort-status.ts';
import { createMessageQueue } from './message-queue.ts';
import { writeMessage } from './write-message.ts';

const CANCEL = 8;
const REFUSED_STREAM = 7;
/** Cause of an error after which the server has certainly not seen the call: it may be made again. */
export const NOT_PROCESSED = Object.freeze({ reason: 'refused stream' });

export interface GrpcCallOptions {
  readonly metadata?: HeaderList;
  /** Cancels the call; a `RuntimeError` or `GrpcStatusError` as its reason becomes the status. */
  readonly signal?: AbortSignal;
  /** Deadline, sent as `grpc-timeout` and kept here as well. */
  readonly timeoutMs?: number;
  /** Default `application/grpc`. */
  readonly contentType?: string;
  /** The messages given are gzip, and are told to be. */
  readonly gzipped?: boolean;
}

/** A call in progress. Reading `messages` to its end (or an error) tells how it went. */
export interface GrpcStream {
  /** Header metadata of the answer; rejects with the status when the call fails before it. */
  readonly headers: Promise<HeaderList>;
  /** Messages of the answer; throws a `GrpcStatusError` for every status but OK. Read by one reader. */
  readonly messages: AsyncIterable<Uint8Array>;
  /** The next message, `undefined` at the end with OK; the same stream as `messages`, without an iterator. */
  next(): Promise<Uint8Array | undefined>;
  /** Trailing metadata, complete once `messages` has ended. */
  trailers(): HeaderList;
  /** Sends a message; wait for the result when it is a promise (back-pressure). After the end it does nothing. */
  send(message: Uint8Array): Promise<void> | undefined;
  /** No more messages from here; a last one given along leaves together with the end. */
  end(last?: Uint8Array): void;
  /** Resets the stream; `messages` throws `reason` or Canceled. */
  cancel(reason?: GrpcStatusError): void;
}

export interface StartCallOptions extends GrpcCallOptions {
  readonly maxMessageBytes: number;
  readonly clock: Clock;
  /** Called once, when the stream is closed. */
  closed(): void;
  /** Called for bytes received: the session is alive. */
  alive(): void;
  /** Why the session broke, if it did. */
  broken(): string | undefined;
}

/** Opens the stream of a call. */
export function startCall(session: ClientHttp2Session, path: string, options: StartCallOptions): GrpcStream {
  const stream = session.request(requestFields(path, options));
  let encoding: string | undefined;
  let status: GrpcStatus | undefined;
  let received: HeaderList = [];
  let trailers: HeaderList = [];
  let outcome: GrpcStatusError | undefined;
  let ended = false;
  let failHeaders: (error: Error) => void = () => {};
  let passHeaders: (headers: HeaderList) => void = () => {};
  const headers = new Promise<HeaderList>((resolve, reject) => {
    passHeaders = resolve;
    failHeaders = reject;
  });
  headers.catch(() => {});

  const queue = createMessageQueue({
    maxMessageBytes: options.maxMessageBytes,
    encoding: () => encoding,
    pause: () => void stream.pause(),
    resume: () => void stream.resume(),
    abandoned: () => cancel(),
  });

  const settle = (error: GrpcStatusError | undefined): void => {
    if (ended) return;
    ended = true;
    outcome = error;
    timer?.cancel();
    options.signal?.removeEventListener('abort', aborted);
    if (error !== undefined) failHeaders(error);
    else passHeaders([]);
    queue.finish(error);
  };
  const settleByStatus = (known: GrpcStatus): void => {
    settle(
      known.code === GrpcCode.OK
        ? undefined
        : new GrpcStatusError(known.code, known.message, {
            details: known.details,
            trailers,
            headers: received,
          }),
    );
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

  stream.on('response', (fields, _flags, raw) => {
    options.alive();
    status = statusOfTrailers(fields);
    if (status !== undefined) {
      trailers = metadataFromRawHeaders(raw);
      return;
    }
    const refusal = refusalOf(fields);
    if (refusal !== undefined) {
      cancel(refusal);
      return;
    }
    const given = fields['grpc-encoding'];
    encoding = typeof given === 'string' ? given : undefined;
    received = metadataFromRawHeaders(raw);
    passHeaders(received);
  });
  stream.on('trailers', (fields, _flags, raw) => {
    status ??= statusOfTrailers(fields);
    trailers = metadataFromRawHeaders(raw);
  });
  stream.on('data', (chunk: Uint8Array) => {
    options.alive();
    const fault = queue.data(chunk);
    if (fault !== undefined) cancel(fault);
  });
  stream.on('end', () => {
    if (status !== undefined) settleByStatus(status);
  });
  stream.on('error', () => {
    // `close` follows with the reset code.
  });
  stream.on('close', () => {
    options.closed();
    if (status !== undefined) settleByStatus(status);
    else settle(closeStatus(stream, options.broken()));
  });

  if (options.signal?.aborted === true) aborted();
  else options.signal?.addEventListener('abort', aborted, { once: true });

  return {
    headers,
    messages: queue,
    next: queue.next,
    trailers: () => outcome?.trailers ?? trailers,
    send: (message) => writeMessage(stream, message, options.gzipped),
    end: (last) => {
      if (stream.destroyed) return;
      if (last === undefined) stream.end();
      else stream.end(encodeFrame(last, options.gzipped));
    },
    cancel,
  };
}

function requestFields(path: string, options: StartCallOptions): Record<string, string | string[]> {
  const fields: Record<string, string | string[]> = {
    ':method': 'POST',
    ':path': path,
    te: 'trailers',
    'content-type': options.contentType ?? 'application/grpc',
    'user-agent': 'skerry',
    'grpc-accept-encoding': 'gzip',
  };
  if (options.gzipped === true) fields['grpc-encoding'] = 'gzip';
  if (options.timeoutMs !== undefined) fields['grpc-timeout'] = formatTimeout(options.timeoutMs);
  if (options.metadata !== undefined) {
    addMetadata(
      fields,
      options.metadata.filter(([name]) => name.toLowerCase() !== 'user-agent'),
    );
  }
  return fields;
}

function refusalOf(
  fields: IncomingHttpHeaders & { ':status'?: number | undefined },
): GrpcStatusError | undefined {
  const httpStatus = fields[':status'] ?? 200;
  if (httpStatus !== 200) {
    return new GrpcStatusError(
      codeOfHttpStatus(httpStatus),
      `unexpected HTTP status code received from server: ${httpStatus}`,
    );
  }
  const type = String(fields['content-type'] ?? '');
  if (type.startsWith('application/grpc')) return undefined;
  return new GrpcStatusError(
    GrpcCode.Unknown,
    `malformed header: unexpected content-type ${JSON.stringify(type)}`,
  );
}

function closeStatus(stream: ClientHttp2Stream, broken: string | undefined): GrpcStatusError {
  if (broken !== undefined) return new GrpcStatusError(GrpcCode.Unavailable, broken);
  const code = stream.rstCode ?? 0;
  if (code === 0) {
    return new GrpcStatusError(GrpcCode.Internal, 'server closed the stream without sending trailers');
  }
  const refused = code === REFUSED_STREAM ? { cause: NOT_PROCESSED } : {};
  return new GrpcStatusError(
    codeOfReset(code),
    `stream terminated by RST_STREAM with error code: ${code}`,
    refused,
  );
}

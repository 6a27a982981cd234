/** A call of a node as it comes out of a stream that waited for it, in the shape of a call at a server. */

import type { ClientHttp2Stream } from 'node:http2';
import type { HeaderList } from '../contracts/app-channel.ts';
import type { Clock } from '../contracts/clock.ts';
import { GrpcCode } from '../contracts/grpc-code.ts';
import { encodeFrame } from '../contracts/grpc-wire/frame.ts';
import { metadataFromRawHeaders } from '../contracts/grpc-wire/metadata.ts';
import { type GrpcStatus, GrpcStatusError } from '../contracts/grpc-wire/status.ts';
import { deadlineExceeded } from '../grpc-client/abort-status.ts';
import { createMessageQueue } from '../grpc-client/message-queue.ts';
import { writeMessage } from '../grpc-client/write-message.ts';
import { encodeData, encodeEnd, encodeHead } from './answer-frames.ts';
import type { ForwardedCall } from './forward.ts';
import {
  CALLEE_FIELD,
  CALLER_FIELD,
  NAMESPACE_FIELD,
  PACKING_FIELD,
  PATH_FIELD,
  SIDECAR_HTTP_PATH,
  TIMEOUT_FIELD,
  withoutLinkFields,
} from './protocol.ts';
import { messageLimit } from './sidecar-message.ts';

export interface NodeCall extends ForwardedCall {
  /** Who calls, as the node says. */
  readonly caller: string;
  readonly callee: string;
  readonly namespace: string;
  /** How the node packs the messages of a call to the relay's sidecar; empty: not at all. */
  readonly packing: string;
  /** Ends the call; only the first end counts. */
  finish(status: GrpcStatus): void;
}

const CANCEL = 8;

/** Throws when the head of the call is not complete. */
export function createNodeCall(
  stream: ClientHttp2Stream,
  raw: readonly string[],
  options: { readonly clock: Clock; readonly maxMessageBytes: number },
): NodeCall {
  const head = new Map<string, string>();
  for (let at = 0; at + 1 < raw.length; at += 2) head.set(raw[at] as string, raw[at + 1] as string);
  const path = head.get(PATH_FIELD) ?? '';
  const caller = head.get(CALLER_FIELD) ?? '';
  const callee = head.get(CALLEE_FIELD) ?? '';
  if (!/^\/[^/]+\/[^/]+$/.test(path) || caller === '' || callee === '') {
    stream.close(CANCEL);
    throw new Error('path, caller and callee are required');
  }
  const timeout = Number(head.get(TIMEOUT_FIELD) ?? 'NaN');
  const abort = new AbortController();
  const { clock } = options;
  const deadlineAt = timeout > 0 ? clock.monotonicMs() + timeout : undefined;
  let headers: HeaderList = [];
  let trailers: HeaderList = [];
  let headSent = false;
  let finished = false;
  const encoding = head.get('grpc-encoding');
  /** Of an answer of the sidecar all is in its message, which leaves together with the end. */
  const bare = path === SIDECAR_HTTP_PATH;
  let answer: Uint8Array = new Uint8Array(0);
  const messages = createMessageQueue({
    maxMessageBytes: messageLimit(path, options.maxMessageBytes),
    encoding: () => encoding,
    pause: () => void stream.pause(),
    resume: () => void stream.resume(),
  });
  const giveUp = (status: GrpcStatusError): void => {
    call.finish(status);
    abort.abort(status);
    messages.finish(status);
  };
  const timer = timeout > 0 ? clock.startTimer(timeout, () => giveUp(deadlineExceeded()), true) : undefined;

  stream.on('data', (chunk: Uint8Array) => {
    const fault = messages.data(chunk);
    if (fault !== undefined) giveUp(fault);
  });
  // A reset shows as an end first.
  stream.on('end', () => setImmediate(() => messages.finish()));
  stream.on('close', () => {
    timer?.cancel();
    if (finished) return;
    finished = true;
    const gone = new GrpcStatusError(GrpcCode.Canceled, 'context canceled');
    abort.abort(gone);
    messages.finish(gone);
  });

  const sendHead = (): void => {
    if (headSent || finished || stream.destroyed) return;
    headSent = true;
    void writeMessage(stream, encodeHead({ headers }));
  };
  const call: NodeCall = {
    path,
    caller,
    callee,
    namespace: head.get(NAMESPACE_FIELD) ?? '',
    packing: head.get(PACKING_FIELD) ?? '',
    contentType: head.get('content-type') ?? 'application/grpc',
    metadata: withoutLinkFields(metadataFromRawHeaders(raw)),
    messages,
    signal: abort.signal,
    get remainingMs() {
      return deadlineAt === undefined ? undefined : Math.max(0, deadlineAt - clock.monotonicMs());
    },
    addHeaders: (more) => {
      headers = [...headers, ...more];
    },
    sendHeaders: sendHead,
    addTrailers: (more) => {
      trailers = [...trailers, ...more];
    },
    send: (message) => {
      if (finished) return undefined;
      if (bare) {
        answer = encodeFrame(encodeData(message));
        return undefined;
      }
      sendHead();
      return writeMessage(stream, encodeData(message));
    },
    finish: ({ code, message, details }) => {
      if (finished) return;
      if (!bare) sendHead();
      finished = true;
      timer?.cancel();
      if (stream.destroyed) return;
      if (bare && code === GrpcCode.OK) {
        stream.end(Buffer.concat([answer, encodeFrame(encodeEnd())]));
        stream.resume();
        return;
      }
      const end = { code, message, trailers };
      const bytes = details === undefined ? undefined : Buffer.from(details).toString('base64');
      void writeMessage(stream, encodeEnd(bytes === undefined ? end : { ...end, details: bytes }));
      stream.end();
      stream.resume();
    },
  };
  return call;
}

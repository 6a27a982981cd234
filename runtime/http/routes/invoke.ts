/** Service invocation over HTTP (Dapr HTTP reference, section 10): also whatever no other route takes. */

import type { Body, HeaderList, InvokeRequest, InvokeResponse } from '../../contracts/app-channel.ts';
import type { InvokeBlock } from '../../contracts/blocks.ts';
import { runtimeError } from '../../contracts/error.ts';
import { httpStatusOfGrpc } from '../../contracts/grpc-code.ts';
import { HOP_BY_HOP } from '../../contracts/hop-by-hop.ts';
import type { ApiRequest } from '../api-request.ts';
import { BodyTooLargeError, collect, invokeBody } from '../body.ts';
import { sniffContentType } from '../content-type.ts';
import { headerBytes, JSON_TYPE, type Reply } from '../respond.ts';
import type { HttpHandlers } from '../router.ts';
import { grpcStatusJson } from './grpc-status-json.ts';
import { calledMethod } from './invoke-target.ts';

const VERBS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'TRACE', 'PATCH']);
const NOT_FORWARDED = new Set([...HOP_BY_HOP, 'host', 'dapr-app-id', 'destination-app-id']);
const NOT_RETURNED = new Set([...HOP_BY_HOP, 'content-length', 'content-type']);
const EVENT_STREAM = 'text/event-stream';
/** Body of an answer to HEAD: how long that of a GET would be is not known. */
const UNKNOWN_LENGTH: AsyncIterable<Uint8Array> = { async *[Symbol.asyncIterator]() {} };

export interface InvokeRouteOptions {
  /** True while the API token is checked: then it goes no further. */
  readonly tokenChecked: boolean;
}

export function invokeHandlers(
  invoke: InvokeBlock,
  options: InvokeRouteOptions,
): Pick<HttpHandlers, 'invoke'> {
  const dropped = options.tokenChecked ? new Set([...NOT_FORWARDED, 'dapr-api-token']) : NOT_FORWARDED;
  return {
    invoke: async (request) => {
      const target = calledMethod(request);
      if (target === undefined) throw runtimeError('directInvokeNoAppId');
      const { id, method } = target;
      try {
        const given: InvokeRequest = {
          method,
          verb: VERBS.has(request.method) ? request.method : 'POST',
          query: request.query,
          headers: requestHeaders(request, dropped),
          body: await invokeBody(request.body),
          ...contentTypeOf(request),
        };
        const answer = await invoke.invoke({ id }, given, request.call);
        return await (answer.grpc ? grpcReply(request, answer) : httpReply(request, answer));
      } catch (error) {
        if (error instanceof BodyTooLargeError)
          throw runtimeError('directInvoke', { appId: id, error: error.message }, { cause: error });
        throw error;
      }
    },
  };
}

function contentTypeOf(request: ApiRequest): { readonly contentType?: string } {
  const contentType = request.headers['content-type'];
  return contentType === undefined ? {} : { contentType };
}

function requestHeaders(request: ApiRequest, dropped: ReadonlySet<string>): HeaderList {
  const { rawHeaders } = request;
  const named = connectionWords(request.header('connection'));
  const kept: (readonly [string, string])[] = [];
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] as string;
    const lower = name.toLowerCase();
    // Names with a leading colon are HTTP/2's own.
    if (dropped.has(lower) || named?.has(lower) === true || lower.charCodeAt(0) === 0x3a) continue;
    kept.push([name, rawHeaders[i + 1] as string]);
  }
  return kept;
}

/** Header names listed in `Connection`; `undefined` when there are none. */
function connectionWords(connection: string): ReadonlySet<string> | undefined {
  if (connection === '' || connection === 'keep-alive' || connection === 'close') return undefined;
  return new Set(connection.split(',').map((word) => word.trim().toLowerCase()));
}

const PROTOBUF = 'application/x-protobuf';
const PLAIN_TEXT = 'text/plain; charset=utf-8';

/**
 * Headers of the answer as a flat list, framing and content type apart. Names that belong to gRPC are treated as on the
 * way to the app: binary ones stay behind, reserved ones get a prefix.
 */
function answerHeaders(answer: InvokeResponse): { readonly headers: string[]; readonly contentType: string } {
  const headers: string[] = [];
  let contentType = answer.dataTypeUrl === undefined ? (answer.contentType ?? '') : PROTOBUF;
  let named: ReadonlySet<string> | undefined;
  for (const [name, value] of answer.headers)
    if (name.toLowerCase() === 'connection') named = connectionWords(value);
  for (const [name, value] of answer.headers) {
    const lower = name.toLowerCase();
    if (lower === 'content-type' && contentType === '') contentType = value;
    if (NOT_RETURNED.has(lower) || lower.endsWith('-bin') || named?.has(lower) === true) continue;
    headers.push(lower.startsWith('grpc-') ? `dapr-${lower}` : name, headerBytes(value));
  }
  return { headers, contentType };
}

async function httpReply(request: ApiRequest, answer: InvokeResponse): Promise<Reply> {
  const { status, body } = answer;
  const { headers, contentType } = answerHeaders(answer);
  const replayable = request.body.length !== undefined;
  const failed = replayable && (status < 200 || status > 399);
  const type = typeFor(status, failed && contentType === '' ? JSON_TYPE : contentType);
  const typed = type !== '';
  if (request.method === 'HEAD') return headReply(status, headers, type);
  if (failed) {
    headers.push('Content-Type', type);
    return { status, headers, body: body.bytes ?? (await collect(body.stream())) };
  }
  if (wantsEventStream(request)) return eventStream(status, headers, answer);
  if (typed) headers.push('Content-Type', type);
  if (body.bytes !== undefined) {
    if (!typed && body.bytes.byteLength > 0) headers.push('Content-Type', sniffContentType(body.bytes));
    return { status, headers, body: body.bytes };
  }
  return streamedReply(status, headers, body, typed);
}

/** The content type to send; empty for none. */
function typeFor(status: number, type: string): string {
  return status === 304 ? '' : type;
}

function headReply(status: number, headers: readonly string[], type: string): Reply {
  return {
    status,
    headers: type === '' ? headers : [...headers, 'Content-Type', type],
    body: UNKNOWN_LENGTH,
  };
}

function streamedReply(
  status: number,
  headers: string[],
  body: Body,
  typed: boolean,
): Reply | Promise<Reply> {
  const length = body.length === undefined ? {} : { length: body.length };
  return typed
    ? { status, headers, body: body.stream(), ...length }
    : sniffedStream(status, headers, body.stream(), length);
}

function wantsEventStream(request: ApiRequest): boolean {
  return request.header('accept').trim().toLowerCase() === EVENT_STREAM;
}

/** Section 10.4: the relay of an event stream is announced at once and never has a length. */
function eventStream(status: number, headers: readonly string[], answer: InvokeResponse): Reply {
  const kept = headers.filter((_, i) => headers[i & ~1]?.toLowerCase() !== 'cache-control');
  return {
    status,
    headers: [...kept, 'Content-Type', EVENT_STREAM, 'Cache-Control', 'no-cache', 'Connection', 'keep-alive'],
    body: answer.body.stream(),
    eager: true,
  };
}

/** A stream without content type: its first chunk tells. */
async function sniffedStream(
  status: number,
  headers: string[],
  source: AsyncIterable<Uint8Array>,
  length: { readonly length?: number },
): Promise<Reply> {
  const chunks = source[Symbol.asyncIterator]();
  let first = await chunks.next();
  while (first.done !== true && first.value.byteLength === 0) first = await chunks.next();
  if (first.done === true) return { status, headers };
  headers.push('Content-Type', sniffContentType(first.value));
  const { value } = first;
  let begun = false;
  const body: AsyncIterable<Uint8Array> = {
    [Symbol.asyncIterator]: () => ({
      next: () => {
        if (begun) return chunks.next();
        begun = true;
        return Promise.resolve({ done: false, value });
      },
      return: async () => {
        await chunks.return?.();
        return { done: true, value: undefined };
      },
    }),
  };
  return { status, headers, body, ...length };
}

/** Section 10.6: the answer of a gRPC app. */
async function grpcReply(request: ApiRequest, answer: InvokeResponse): Promise<Reply> {
  const { headers, contentType } = answerHeaders(answer);
  if (answer.status !== 0) {
    const body = grpcStatusJson(answer);
    // JSON all the same: Dapr lets Go look at the text, which knows no JSON.
    headers.push('Content-Type', contentType === '' ? PLAIN_TEXT : contentType);
    return { status: httpStatusOfGrpc(answer.status), headers, body };
  }
  // daprd tells of an HTTP app's event stream with a code, too, and it may never end.
  if (wantsEventStream(request)) return eventStream(200, headers, answer);
  const bytes = answer.body.bytes ?? (await collect(answer.body.stream()));
  if (contentType !== '') headers.push('Content-Type', contentType);
  else if (bytes.byteLength > 0) headers.push('Content-Type', sniffContentType(bytes));
  return { status: 200, headers, body: bytes };
}

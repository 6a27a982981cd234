/**
 * Runs the steps of `httpPipeline` around the router (Dapr HTTP reference, section 2.2). A step sees plain requests and
 * responses; what it passes on unchanged is not copied.
 */

import type { IncomingHttpHeaders } from 'node:http';
import type {
  HttpMiddleware,
  PipelineNext,
  PipelineRequest,
  PipelineResponse,
} from '../contracts/http-middleware.ts';
import { ApiRequest, type HttpHandler } from './api-request.ts';
import { collect, wholeBody } from './body.ts';
import { cleanPath } from './path.ts';
import type { Reply } from './respond.ts';

type PlainHeaders = Readonly<Record<string, string | readonly string[]>>;

/** Address and port of the client as Go prints them. */
function remoteAddress(request: ApiRequest): string {
  const { remoteAddress: address = '', remotePort } = request.incoming.socket;
  const plain = address.startsWith('::ffff:') ? address.slice(7) : address;
  if (plain === '') return '';
  return plain.includes(':') ? `[${plain}]:${remotePort}` : `${plain}:${remotePort}`;
}

function plainRequest(request: ApiRequest): PipelineRequest {
  let body: AsyncIterable<Uint8Array> | undefined;
  return {
    method: request.method,
    path: request.path,
    query: request.query,
    headers: request.headers as PlainHeaders,
    remoteAddress: remoteAddress(request),
    // The same iterable each time, so that an untouched body is recognised.
    get body() {
      body ??= { [Symbol.asyncIterator]: () => request.body.stream()[Symbol.asyncIterator]() };
      return body;
    },
  };
}

function flatten(headers: PlainHeaders): string[] {
  const flat: string[] = [];
  for (const [name, value] of Object.entries(headers)) {
    if (typeof value === 'string') flat.push(name, value);
    else for (const item of value) flat.push(name, item);
  }
  return flat;
}

/** The request that a step passed on; `original` when nothing of it changed. */
async function changedRequest(
  original: ApiRequest,
  before: PipelineRequest,
  after: PipelineRequest,
): Promise<ApiRequest> {
  if (after === before) return original;
  const sameBody = after.body === before.body;
  const sameHeaders = after.headers === before.headers;
  if (
    sameBody &&
    sameHeaders &&
    after.path === before.path &&
    after.query === before.query &&
    after.method === before.method
  )
    return original;
  const body = sameBody ? original.body : wholeBody(await collect(after.body));
  let headers = after.headers;
  let rawHeaders = sameHeaders ? original.rawHeaders : flatten(headers);
  if (!sameBody) {
    // The length that came with the old body says nothing about the new one.
    const { 'content-length': _length, 'transfer-encoding': _coding, ...kept } = headers;
    headers = kept;
    rawHeaders = rawHeaders.filter(
      (_, i) => !/^(content-length|transfer-encoding)$/i.test(rawHeaders[i & ~1] ?? ''),
    );
  }
  return new ApiRequest({
    method: after.method,
    rawPath: after.path === before.path ? original.rawPath : after.path,
    path: cleanPath(after.path),
    query: after.query,
    headers: headers as IncomingHttpHeaders,
    rawHeaders,
    body,
    call: original.call,
    incoming: original.incoming,
  });
}

async function* chunksOf(body: Reply['body']): AsyncIterable<Uint8Array> {
  if (body === undefined) return;
  if (typeof body === 'string') yield Buffer.from(body, 'utf8');
  else if (body instanceof Uint8Array) yield body;
  else yield* body;
}

function plainResponse(reply: Reply): PipelineResponse {
  const headers: Record<string, string | string[]> = Object.create(null);
  for (let i = 0; i + 1 < reply.headers.length; i += 2) {
    const name = (reply.headers[i] as string).toLowerCase();
    const value = reply.headers[i + 1] as string;
    const earlier = headers[name];
    headers[name] =
      earlier === undefined ? value : Array.isArray(earlier) ? [...earlier, value] : [earlier, value];
  }
  return { status: reply.status, headers, body: chunksOf(reply.body) };
}

/** Runs `steps` in order around `handler`. */
export async function runPipeline(
  steps: readonly HttpMiddleware[],
  handler: HttpHandler,
  request: ApiRequest,
): Promise<Reply> {
  let inner: Reply | undefined;
  let innerResponse: PipelineResponse | undefined;
  const before = plainRequest(request);
  const last: PipelineNext = async (after) => {
    const routed = await changedRequest(request, before, after);
    inner = await handler(routed);
    request.operation = routed.operation;
    innerResponse = plainResponse(inner);
    return innerResponse;
  };
  const chain = steps.reduceRight<PipelineNext>((next, step) => (given) => step.handle(given, next), last);
  const response = await chain(before);
  if (inner !== undefined && response === innerResponse) return inner;
  return replyOf(response, inner);
}

async function replyOf(response: PipelineResponse, inner: Reply | undefined): Promise<Reply> {
  const { 'content-length': _length, ...headers } = response.headers;
  const afterSent = inner?.afterSent === undefined ? {} : { afterSent: inner.afterSent };
  const flat = flatten(headers);
  if (inner !== undefined && isStream(inner.body))
    return { status: response.status, headers: flat, body: response.body, ...afterSent };
  const body = await collect(response.body);
  return { status: response.status, headers: flat, ...(body.byteLength === 0 ? {} : { body }), ...afterSent };
}

function isStream(body: Reply['body']): body is AsyncIterable<Uint8Array> {
  return body !== undefined && typeof body !== 'string' && !(body instanceof Uint8Array);
}

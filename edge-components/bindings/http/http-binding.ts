/** Calls an HTTP endpoint as an output binding (components reference, section 3.3). */

import {
  type Binding,
  BindingError,
  type BindingRequest,
  type BindingResponse,
} from '../../../runtime/contracts/binding.ts';
import type { Clock } from '../../../runtime/contracts/clock.ts';
import type { ComponentDeps } from '../../../runtime/contracts/component.ts';
import { errorText } from '../../../runtime/contracts/error.ts';
import { isTruthy } from '../../../runtime/contracts/metadata.ts';
import { createHttpClient, type HttpAnswer, type HttpClient } from '../../drivers/http/request.ts';
import { readClientTls } from './client-tls.ts';
import type { HttpBindingMetadata } from './metadata.ts';

const OPERATIONS: readonly string[] = [
  'create',
  'get',
  'head',
  'post',
  'put',
  'patch',
  'delete',
  'options',
  'trace',
];
const WITH_BODY = new Set(['POST', 'PUT', 'PATCH']);
const JSON_TYPE = 'application/json; charset=utf-8';
const TRACE_HEADERS: readonly string[] = ['traceparent', 'tracestate', 'baggage'];
/** Headers that frame the message or name its target: they follow from the request itself. */
const FRAMING = new Set([
  'host',
  'connection',
  'content-length',
  'transfer-encoding',
  'trailer',
  'upgrade',
  'keep-alive',
]);
/** Headers of an answer that say nothing beyond its connection. */
const HOP_BY_HOP = new Set(['connection', 'keep-alive', 'transfer-encoding', 'trailer', 'upgrade']);
const MAX_REDIRECTS = 10;
const ASCII = /^[\t\x20-\x7e]*$/;

export function createHttpBinding(
  metadata: HttpBindingMetadata,
  deps: Pick<ComponentDeps, 'clock' | 'componentName'>,
): Binding {
  let client: HttpClient | undefined;
  const { maxResponseBodySize } = metadata;
  const maxAnswerBytes = maxResponseBodySize > 0 ? maxResponseBodySize : Number.MAX_SAFE_INTEGER;
  const secretHeader = metadata.securityTokenHeader ?? '';
  return {
    operations: OPERATIONS,
    init: async () => {
      client = createHttpClient(await readClientTls(metadata));
    },
    invoke: async (request, signal) => {
      if (client === undefined) throw new Error(`binding ${deps.componentName} is closed`);
      const method = request.operation === 'create' ? 'POST' : request.operation.toUpperCase();
      const url = targetUrl(metadata.url, request.metadata['path'] ?? '');
      const limit = limitedSignal(signal, metadata.responseTimeout, deps.clock);
      let answer: HttpAnswer;
      try {
        answer = await client.call({
          method,
          url,
          headers: requestHeaders(metadata, request, WITH_BODY.has(method)),
          ...(WITH_BODY.has(method) ? { body: request.data } : {}),
          signal: limit.signal,
          maxAnswerBytes,
          maxRedirects: MAX_REDIRECTS,
          secretHeaders: secretHeader === '' ? [] : [secretHeader.toLowerCase()],
        });
      } catch (error) {
        const reason = limit.timedOut() ? 'context deadline exceeded' : errorText(error);
        const verb = method.charAt(0) + method.slice(1).toLowerCase();
        throw new Error(`${verb} "${withoutPassword(url)}": ${reason}`, { cause: error });
      } finally {
        limit.end();
      }
      return responseOf(answer, errorsCount(request, metadata.errorIfNot2XX));
    },
    close: async () => {
      client?.close();
      client = undefined;
    },
  };
}

function targetUrl(base: string, path: string): string {
  return path === '' ? base : `${base.replace(/\/+$/, '')}/${path.replace(/^\/+/, '')}`;
}

function withoutPassword(url: string): string {
  return url.replace(/^(https?:\/\/[^/@:]*):[^/@]*@/i, '$1:***@');
}

function errorsCount(request: BindingRequest, fallback: boolean): boolean {
  const given = request.metadata['errorIfNot2XX'] ?? '';
  return given === '' ? fallback : isTruthy(given);
}

/** Metadata items that begin with a capital letter are headers; the trace of the call wins over one of them. */
function requestHeaders(
  metadata: HttpBindingMetadata,
  request: BindingRequest,
  hasBody: boolean,
): Readonly<Record<string, string>> {
  const headers: Record<string, string> = {};
  if (hasBody) headers['content-type'] = JSON_TYPE;
  headers['accept'] = JSON_TYPE;
  // Some public APIs refuse a client that does not say who it is.
  headers['user-agent'] = 'skerry';
  const { securityToken = '', securityTokenHeader = '' } = metadata;
  if (securityToken !== '' && securityTokenHeader !== '')
    headers[securityTokenHeader.toLowerCase()] = securityToken;
  for (const [name, value] of Object.entries(request.metadata)) {
    const first = name.charCodeAt(0);
    const lower = name.toLowerCase();
    if (first >= 65 && first <= 90 && !FRAMING.has(lower)) headers[lower] = utf8Bytes(value);
  }
  for (const name of TRACE_HEADERS) {
    const value = request.metadata[name];
    if (value !== undefined && value !== '') headers[name] = value;
  }
  return headers;
}

/** HTTP/1 carries bytes, which node:http takes one character each. */
function utf8Bytes(text: string): string {
  return ASCII.test(text) ? text : Buffer.from(text, 'utf8').toString('latin1');
}

function responseOf(answer: HttpAnswer, errorsAreFailures: boolean): BindingResponse {
  const metadata: Record<string, string> = {};
  for (const [name, value] of Object.entries(answer.headers)) {
    if (value !== undefined && !HOP_BY_HOP.has(name))
      metadata[canonicalName(name)] = typeof value === 'string' ? value : value.join(', ');
  }
  metadata['statusCode'] = String(answer.status);
  metadata['status'] = `${answer.status} ${answer.statusText}`.trim();
  const response: BindingResponse = { data: answer.body, metadata };
  if (errorsAreFailures && (answer.status < 200 || answer.status > 299))
    throw new BindingError(`received status code ${answer.status}`, response);
  return response;
}

/** `content-type` -> `Content-Type`, the spelling in which Dapr's callers know response headers. */
function canonicalName(name: string): string {
  return name.replace(/(^|-)[a-z]/g, (match) => match.toUpperCase());
}

/** `signal` joined with a limit of `ms` (0: none); `end` releases the timer. */
function limitedSignal(
  signal: AbortSignal,
  ms: number,
  clock: Clock,
): { readonly signal: AbortSignal; timedOut(): boolean; end(): void } {
  if (ms <= 0) return { signal, timedOut: () => false, end: () => {} };
  const limit = new AbortController();
  const timer = clock.startTimer(ms, () => limit.abort(), true);
  return {
    signal: AbortSignal.any([signal, limit.signal]),
    timedOut: () => limit.signal.aborted && !signal.aborted,
    end: () => timer.cancel(),
  };
}

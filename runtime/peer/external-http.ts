/**
 * Calls to hosts outside the mesh: HTTPEndpoint resources and plain URLs (HTTP reference, sections 10.2 to 10.4). None of
 * the sidecar's own headers but the trace go out; headers of the resource are set last. Redirects are followed for
 * endpoints only, by the rules that Go's client keeps.
 */

import type { InvokeRequest, InvokeResponse } from '../contracts/app-channel.ts';
import type { CallContext } from '../contracts/call-context.ts';
import type { ExternalHttp, ExternalTarget } from '../building-blocks/invoke/external-http.ts';
import { httpRequestHeaders, responseHeaders } from '../building-blocks/invoke/forward-headers.ts';
import { type TraceContext, ZERO_TRACEPARENT } from '../contracts/trace.ts';
import { EMPTY_BODY } from '../http-client/body.ts';
import { requestErrorText } from '../http-client/error-text.ts';
import { flatHeader } from '../http-client/exchange.ts';
import { gunzipResponse, mayAskForGzip, pairs } from '../http-client/flat-headers.ts';
import { createHttp1Transport } from '../http-client/http1-transport.ts';
import { type HttpTransport, type TransportRequest, type TransportResponse, authority, headerText } from '../http-client/transport.ts';

export interface ExternalHttpOptions {
  /** `APP_API_TOKEN`; sent to plain URLs. */
  readonly appToken?: string;
}

const MAX_TRANSPORTS = 256;
const MAX_REDIRECTS = 10;

/** Makes the client; connections are kept per origin and TLS identity. */
export function createExternalHttp(options: ExternalHttpOptions = {}): ExternalHttp {
  const transports = new Map<string, HttpTransport>();

  const transportFor = (url: URL, tls: ExternalTarget['tls']): HttpTransport => {
    const key = `${url.origin}\n${tls?.rootCa ?? ''}\n${tls?.certificate ?? ''}\n${tls?.privateKey ?? ''}`;
    const known = transports.get(key);
    if (known !== undefined) {
      transports.delete(key);
      transports.set(key, known);
      return known;
    }
    const [oldest] = transports.keys();
    if (oldest !== undefined && transports.size >= MAX_TRANSPORTS) {
      transports.get(oldest)?.close();
      transports.delete(oldest);
    }
    const made = createHttp1Transport({
      host: url.hostname.replace(/^\[|\]$/g, ''),
      port: url.port === '' ? (url.protocol === 'https:' ? 443 : 80) : Number(url.port),
      ...(url.protocol === 'https:' ? { tls: {
        verify: true,
        ...(tls?.rootCa === undefined ? {} : { ca: tls.rootCa }),
        ...(tls?.certificate === undefined ? {} : { cert: tls.certificate }),
        ...(tls?.privateKey === undefined ? {} : { key: tls.privateKey }),
      } } : {}),
    });
    transports.set(key, made);
    return made;
  };

  const send = async (url: URL, path: string, target: ExternalTarget, request: TransportRequest, signal: AbortSignal): Promise<TransportResponse> => {
    try {
      return await transportFor(url, target.tls).send(request, signal);
    } catch (cause) {
      if (signal.aborted) throw signal.reason;
      const tls = url.protocol === 'https:' ? { tls: { verify: true } } : {};
      const address = authority({ host: url.hostname, port: Number(url.port || (url.protocol === 'https:' ? 443 : 80)), ...tls });
      throw new Error(requestErrorText(request.verb, `${url.origin}${path}`, cause, address), { cause });
    }
  };

  return {
    async call(target, request, call) {
      const text = `${target.baseUrl}${request.method === '' ? '' : joined(target.baseUrl, request.method)}`;
      let url = new URL(text);
      // The path is sent as it was put together; `URL` is only asked for the origin.
      let path = originForm(text, url, request.query);
      let headers = requestHeaders(target, request, call, options.appToken);
      let verb = request.verb;
      let body = request.body;
      const gzip = mayAskForGzip(verb, headers);
      if (gzip) headers.push('Accept-Encoding', 'gzip');
      for (let redirects = 0; ; redirects += 1) {
        const response = await send(url, path, target, { verb, path, headers, body }, call.signal);
        const next = target.followRedirects ? redirectOf(response, url, path, verb, body.bytes !== undefined) : undefined;
        if (next === undefined) return answer(gzip ? gunzipResponse(response) : response);
        if (redirects === MAX_REDIRECTS - 1) {
          discard(response);
          throw new Error(requestErrorText(verb, next.url.href, new Error('stopped after 10 redirects'), url.host));
        }
        discard(response);
        if (next.dropBody) {
          body = EMPTY_BODY;
          headers = without(headers, BODY_HEADERS);
        }
        if (next.url.hostname !== url.hostname && !next.url.hostname.endsWith(`.${url.hostname}`)) headers = without(headers, PRIVATE_HEADERS);
        verb = next.verb;
        url = next.url;
        path = `${next.url.pathname}${next.url.search}`;
      }
    },
    async close() {
      for (const transport of transports.values()) transport.close();
      transports.clear();
    },
  };
}

/** One slash between base and method, whatever the base ends in. */
function joined(base: string, method: string): string {
  return base.endsWith('/') ? method : `/${method}`;
}

function originForm(text: string, url: URL, query: string): string {
  const start = text.indexOf('/', text.indexOf('://') + 3);
  const path = start < 0 ? '/' : text.slice(start);
  const safe = /^[\x21-\x7e]*$/.test(path) && !path.includes('#') ? path : `${url.pathname}${url.search}`;
  return query === '' ? safe : `${safe}?${query}`;
}

function requestHeaders(
  target: ExternalTarget, request: InvokeRequest, call: Pick<CallContext, 'span'>, appToken: string | undefined,
): string[] {
  const trace: TraceContext = call.span.context;
  const traced = trace.traceparent !== undefined && trace.traceparent !== ZERO_TRACEPARENT;
  const fixed = new Set(target.headers.map(([name]) => name.toLowerCase()));
  if (target.sendAppToken && appToken !== undefined && appToken !== '') fixed.add('dapr-api-token');
  const headers: string[] = [];
  const seen = new Set<string>();
  for (const [name, value, lower] of httpRequestHeaders(request.headers)) {
    if (fixed.has(lower) || (traced && (lower === 'traceparent' || lower === 'tracestate'))) continue;
    seen.add(lower);
    headers.push(name, headerText(value));
  }
  const { contentType } = request;
  if (contentType !== undefined && contentType !== '' && !fixed.has('content-type')) headers.push('Content-Type', headerText(contentType));
  for (const name of ['traceparent', 'tracestate', 'baggage'] as const) {
    const value = trace[name];
    if (value !== undefined && value !== '' && !seen.has(name) && !fixed.has(name)) headers.push(capital(name), headerText(value));
  }
  if (fixed.has('dapr-api-token') && target.sendAppToken) headers.push('Dapr-Api-Token', headerText(appToken ?? ''));
  for (const [name, value] of target.headers) headers.push(name, headerText(value));
  return headers;
}

function capital(name: string): string {
  return name.charAt(0).toUpperCase() + name.slice(1);
}

function answer(response: TransportResponse): InvokeResponse {
  const contentType = flatHeader(response.headers, 'content-type');
  return {
    status: response.status, grpc: false, headers: responseHeaders(pairs(response.headers)), body: response.body,
    ...(contentType === undefined ? {} : { contentType }),
  };
}

interface Redirect {
  readonly url: URL;
  readonly verb: string;
  readonly dropBody: boolean;
}

/** The next request after a redirect; `undefined` when the answer is to be handed out. */
function redirectOf(response: TransportResponse, url: URL, path: string, verb: string, replayable: boolean): Redirect | undefined {
  const { status } = response;
  if (status !== 301 && status !== 302 && status !== 303 && status !== 307 && status !== 308) return undefined;
  const location = flatHeader(response.headers, 'location');
  if (location === undefined) return undefined;
  let next: URL;
  try {
    next = new URL(location, `${url.origin}${path}`);
  } catch {
    return undefined;
  }
  if (next.protocol !== 'http:' && next.protocol !== 'https:') return undefined;
  if (status === 307 || status === 308) return replayable ? { url: next, verb, dropBody: false } : undefined;
  const keeps = verb === 'GET' || verb === 'HEAD';
  return { url: next, verb: keeps ? verb : 'GET', dropBody: true };
}

const BODY_HEADERS = new Set(['content-type', 'content-encoding', 'content-language', 'content-location']);
const PRIVATE_HEADERS = new Set(['authorization', 'www-authenticate', 'cookie', 'cookie2', 'proxy-authorization', 'proxy-authenticate']);

function without(headers: readonly string[], names: ReadonlySet<string>): string[] {
  return headers.filter((_, i) => !names.has((headers[i & ~1] as string).toLowerCase()));
}

/** Reads away a body that nobody wants, so that its connection can be used again. */
function discard(response: TransportResponse): void {
  if (response.body.bytes !== undefined) return;
  const drain = async (): Promise<void> => {
    for await (const chunk of response.body.stream()) void chunk;
  };
  drain().catch(() => {});
}

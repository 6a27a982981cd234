/**
 * Calls to hosts outside the mesh: HTTPEndpoint resources and plain URLs (HTTP reference, sections 10.2 to 10.4). None of
 * the sidecar's own headers but the trace go out. Redirects are followed for endpoints only.
 */

import type { ExternalHttp, ExternalTarget } from '../building-blocks/invoke/external-http.ts';
import { responseHeaders } from '../building-blocks/invoke/forward-headers.ts';
import type { InvokeRequest, InvokeResponse } from '../contracts/app-channel.ts';
import type { Clock } from '../contracts/clock.ts';
import { RELAY_URL } from '../contracts/relayed-sidecar.ts';
import { requestErrorText } from '../http-client/error-text.ts';
import { flatHeader } from '../http-client/exchange.ts';
import { gunzipResponse, mayAskForGzip, pairs } from '../http-client/flat-headers.ts';
import { authority, type TransportResponse } from '../http-client/transport.ts';
import { externalHeaders } from './external-headers.ts';
import { createExternalTransports, originOf } from './external-transports.ts';
import { nextStep, type Step } from './redirect.ts';

export interface ExternalHttpOptions {
  /** `APP_API_TOKEN`; sent to plain URLs. */
  readonly appToken?: string;
  /** Limits the time to connect; without it the system's own limit holds. */
  readonly clock?: Clock;
  /** Such calls count with those to the app, as in Dapr, where they share its channel. */
  readonly clientMetrics?: ExternalMetrics;
}

/** Told how a call went, once. */
export interface ExternalMetrics {
  call(
    verb: string,
    path: string,
    length: number | undefined,
  ): { answered(status: number, length: number | undefined): void; failed(): void };
}

const MAX_REDIRECTS = 10;

/** Makes the client; connections are kept per origin and TLS identity. */
export function createExternalHttp(options: ExternalHttpOptions = {}): ExternalHttp {
  const transports = createExternalTransports(options.clock);

  const send = async (
    step: Step,
    tls: ExternalTarget['tls'],
    signal: AbortSignal,
  ): Promise<TransportResponse> => {
    try {
      return await transports.transport(step.url, tls).send(step, signal);
    } catch (cause) {
      if (signal.aborted) throw signal.reason;
      throw failure(step, cause);
    }
  };

  /** The answer that is handed out: the first, or the one at the end of its redirects. */
  const follow = async (
    first: Step,
    target: ExternalTarget,
    signal: AbortSignal,
  ): Promise<TransportResponse> => {
    let step = first;
    for (let followed = 1; ; followed += 1) {
      const response = await send(step, target.tls, signal);
      const next = target.followRedirects ? nextStep(response, step) : undefined;
      if (next === undefined) return response;
      discard(response);
      if (followed === MAX_REDIRECTS) throw failure(next, new Error('stopped after 10 redirects'));
      step = next;
    }
  };

  return {
    async call(target, request, call) {
      if (RELAY_URL.test(target.baseUrl))
        throw new Error(
          'an HTTPEndpoint with the baseUrl relay: is for components: apps of the cloud are called by app id',
        );
      const headers = externalHeaders(target, request, call.span.context, options.appToken ?? '');
      const gzip = mayAskForGzip(request.verb, headers);
      if (gzip) headers.push('Accept-Encoding', 'gzip');
      const measured = options.clientMetrics?.call(request.verb, request.method, request.body.length);
      try {
        const response = await follow(firstStep(target, request, headers), target, call.signal);
        measured?.answered(response.status, response.body.length);
        return answer(gzip ? gunzipResponse(response) : response);
      } catch (error) {
        measured?.failed();
        throw error;
      }
    },
    async close() {
      transports.close();
    },
  };
}

/** One slash between base and method, whatever the base ends in; the path goes out as it was put together. */
function firstStep(target: ExternalTarget, request: InvokeRequest, headers: readonly string[]): Step {
  const { baseUrl } = target;
  const { method, query, verb, body } = request;
  const text = method === '' ? baseUrl : `${baseUrl}${baseUrl.endsWith('/') ? '' : '/'}${method}`;
  const url = new URL(text);
  const start = text.indexOf('/', text.indexOf('://') + 3);
  const given = start < 0 ? '/' : text.slice(start);
  const path = /^[\x21\x22\x24-\x7e]*$/.test(given) ? given : `${url.pathname}${url.search}`;
  return { url, path: query === '' ? path : `${path}?${query}`, verb, headers, body };
}

function failure(step: Step, cause: unknown): Error {
  const text = requestErrorText(
    step.verb,
    `${step.url.origin}${step.path}`,
    cause,
    authority(originOf(step.url)),
  );
  return new Error(text, { cause });
}

function answer(response: TransportResponse): InvokeResponse {
  const contentType = flatHeader(response.headers, 'content-type');
  return {
    status: response.status,
    grpc: false,
    headers: responseHeaders(pairs(response.headers)),
    body: response.body,
    ...(contentType === undefined ? {} : { contentType }),
  };
}

/** Reads away a body that nobody wants, so that its connection can be used again. */
function discard(response: TransportResponse): void {
  if (response.body.bytes !== undefined) return;
  const drain = async (): Promise<void> => {
    for await (const chunk of response.body.stream()) void chunk;
  };
  drain().catch(() => {});
}

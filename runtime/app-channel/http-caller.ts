/**
 * One HTTP call to the app, whatever its purpose: slot of the concurrency limit, trace and token headers, middleware,
 * and the text of a failure. `http-channel.ts` says what is called; this says how.
 */

import type { Body } from '../contracts/app-channel.ts';
import type { Clock } from '../contracts/clock.ts';
import type { HttpMiddleware } from '../contracts/http-middleware.ts';
import { type TraceContext, ZERO_TRACEPARENT } from '../contracts/trace.ts';
import { requestErrorText } from '../http-client/error-text.ts';
import { gunzipResponse, mayAskForGzip } from '../http-client/flat-headers.ts';
import { createH2cTransport } from '../http-client/h2c-transport.ts';
import { createHttp1Transport } from '../http-client/http1-transport.ts';
import { authority, headerText, type TransportResponse, textHeader } from '../http-client/transport.ts';
import type { ClientMetrics, MeasuredCall } from './client-metrics.ts';
import { createConcurrencyLimit } from './concurrency-limit.ts';
import { behindPipeline } from './http-pipeline.ts';

export interface HttpCallerOptions {
  readonly protocol: 'http' | 'https' | 'h2c';
  readonly address: string;
  readonly port: number;
  /** 0: no limit. */
  readonly maxConcurrency: number;
  /** `APP_API_TOKEN`, when set. */
  readonly token?: string;
  /** `appHttpPipeline` as it is at each request, outermost first; absent: none is configured. */
  readonly pipeline?: () => readonly HttpMiddleware[];
  readonly clientMetrics?: ClientMetrics;
  readonly clock?: Clock;
}

export interface HttpCall {
  readonly verb: string;
  /** With leading slash and query. */
  readonly path: string;
  /** Flat list; names and values are sent as they are. */
  readonly headers: string[];
  readonly body: Body;
  /** Adds `Accept-Encoding: gzip` and undoes it in the answer, unless the call asks for an encoding itself. */
  readonly gzip?: boolean;
  /** A health probe: no token, metrics of its own. */
  readonly probe?: boolean;
  /** `path` label of metrics; absent: the path without query. */
  readonly metricPath?: string;
}

export interface HttpCaller {
  call(call: HttpCall, signal: AbortSignal): Promise<TransportResponse>;
  close(): void;
}

/** Makes the caller of one HTTP app. */
export function createHttpCaller(options: HttpCallerOptions): HttpCaller {
  const origin = {
    host: options.address,
    port: options.port,
    ...(options.protocol === 'https' ? { tls: { verify: false } } : {}),
    ...(options.clock === undefined ? {} : { clock: options.clock }),
  };
  const address = authority(origin);
  const scheme = options.protocol === 'https' ? 'https' : 'http';
  const direct = options.protocol === 'h2c' ? createH2cTransport(origin) : createHttp1Transport(origin);
  const { pipeline } = options;
  const transport = pipeline === undefined ? direct : behindPipeline(direct, pipeline, options.address);
  const limit = createConcurrencyLimit(options.maxConcurrency);
  const token = options.token === undefined || options.token === '' ? undefined : textHeader(options.token);

  const measure = (call: HttpCall): MeasuredCall | undefined => {
    if (options.clientMetrics === undefined) return undefined;
    if (call.probe === true) return options.clientMetrics.probe();
    const path = call.metricPath ?? withoutQuery(call.path);
    return options.clientMetrics.call(call.verb, path, call.body.length);
  };

  const send = async (
    call: HttpCall,
    signal: AbortSignal,
    settled?: () => void,
  ): Promise<TransportResponse> => {
    if (token !== undefined && call.probe !== true) setToken(call.headers, token);
    const gzip = call.gzip === true && mayAskForGzip(call.verb, call.headers);
    if (gzip) call.headers.push('Accept-Encoding', 'gzip');
    const measured = measure(call);
    try {
      const response = await transport.send(call, signal, settled);
      measured?.answered(response.status, response.body.length);
      return gzip ? gunzipResponse(response) : response;
    } catch (cause) {
      measured?.failed();
      if (signal.aborted) throw signal.reason;
      throw new Error(requestErrorText(call.verb, `${scheme}://${address}${call.path}`, cause, address), {
        cause,
      });
    }
  };

  return {
    call(call, signal) {
      if (limit === undefined) return send(call, signal);
      const slot = limit.acquire(signal);
      if (typeof slot === 'function') return send(call, signal, slot);
      return slot.then((release) => send(call, signal, release));
    },
    close: () => transport.close(),
  };
}

function withoutQuery(path: string): string {
  const mark = path.indexOf('?');
  return mark < 0 ? path : path.slice(0, mark);
}

/** The app's token replaces whatever the caller sent under that name. */
function setToken(headers: string[], token: string): void {
  for (let i = headers.length - 2; i >= 0; i -= 2) {
    if ((headers[i] as string).toLowerCase() === 'dapr-api-token') headers.splice(i, 2);
  }
  headers.push('Dapr-Api-Token', token);
}

/** Adds trace headers; the all-zero value is only sent where the request has no `traceparent` of its own. */
export function addTrace(
  headers: string[],
  trace: TraceContext,
  present: TracePresent = NOTHING_PRESENT,
): void {
  const { traceparent, tracestate, baggage } = trace;
  if (
    traceparent !== undefined &&
    traceparent !== '' &&
    (traceparent !== ZERO_TRACEPARENT || !present.traceparent)
  ) {
    headers.push('Traceparent', traceparent);
  }
  if (tracestate !== undefined && tracestate !== '') headers.push('Tracestate', headerText(tracestate));
  if (baggage !== undefined && baggage !== '' && !present.baggage)
    headers.push('Baggage', headerText(baggage));
}

export interface TracePresent {
  readonly traceparent: boolean;
  readonly baggage: boolean;
}

const NOTHING_PRESENT: TracePresent = { traceparent: false, baggage: false };

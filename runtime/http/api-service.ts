/**
 * What happens to a request between the socket and its handler, outermost first (Dapr HTTP reference, section 2.2):
 * path cleaning, body limit, tracing, metrics, CORS, API token, `httpPipeline`, API log, router. So a refused token is
 * traced and counted, and a preflight request needs none.
 */

import type { IncomingMessage, ServerResponse } from 'node:http';
import { callBegins, callEnds } from '../contracts/calls-in-progress.ts';
import type { Clock } from '../contracts/clock.ts';
import { errorText, type RuntimeError } from '../contracts/error.ts';
import type { HttpMiddleware } from '../contracts/http-middleware.ts';
import type { Logger } from '../contracts/logger.ts';
import type { Tracer } from '../contracts/trace.ts';
import type { LogCall } from './api-log.ts';
import { ApiRequest, HttpCall, type HttpHandler } from './api-request.ts';
import { IncomingBody, NO_BODY, type RequestBody } from './body.ts';
import type { Cors } from './cors.ts';
import { errorReply, toRuntimeError } from './error-response.ts';
import type { RecordRequest } from './http-metrics.ts';
import { cleanPath, splitTarget } from './path.ts';
import { runPipeline } from './pipeline.ts';
import { requestFault, StallWatch, tooMany } from './request-limits.ts';
import { addTraceHeaders, endTrace, type RequestTrace, traceRequest } from './request-trace.ts';
import type { Reply } from './respond.ts';
import { breakOff, isGone, sendStream, sendWhole } from './send.ts';

export interface ApiServiceParts {
  readonly route: HttpHandler;
  readonly tracer: Tracer;
  readonly log: Logger;
  readonly clock: Clock;
  /** 0 or below: no limit. */
  readonly maxBodyBytes: number;
  /** Calls in progress at once. */
  readonly maxInFlight: number;
  readonly record: RecordRequest | undefined;
  readonly cors: Cors | undefined;
  readonly checkToken: ((request: ApiRequest) => Reply | undefined) | undefined;
  readonly steps: () => readonly HttpMiddleware[];
  readonly logCall: LogCall | undefined;
  /** Counts an error by its code; absent: not counted. */
  readonly recordError?: (error: RuntimeError) => void;
}

/** The reason of a call's signal when the client closed the connection, or the server gave up draining. */
export class CallCanceledError extends Error {
  override readonly name = 'AbortError';
  constructor(message: string) {
    super(message);
  }
}

/** Serves the requests of one server's connections. */
export class ApiService {
  readonly #parts: ApiServiceParts;
  readonly #active = new Map<HttpCall, RequestBody>();
  readonly #stalls: StallWatch;
  #draining = false;
  #idle: (() => void) | undefined;

  constructor(parts: ApiServiceParts) {
    this.#parts = parts;
    this.#stalls = new StallWatch(parts.clock, () => this.#active.values());
  }

  /** Answers from now on end their connection. Resolves when no call is in flight. */
  drain(): Promise<void> {
    this.#draining = true;
    if (this.#active.size === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#idle = resolve;
    });
  }

  /** Aborts the calls in flight. */
  abort(): void {
    for (const call of this.#active.keys()) call.abort(new CallCanceledError('the server is shutting down'));
  }

  /** The listener of `request` events, HTTP/1 and HTTP/2 alike. */
  readonly handle = (incoming: IncomingMessage, response: ServerResponse): void => {
    const { rawPath, query } = splitRequest(incoming);
    const fault =
      requestFault(incoming, rawPath) ??
      (this.#active.size >= this.#parts.maxInFlight ? tooMany('the list of calls in progress') : undefined);
    if (fault !== undefined) {
      response.on('error', ignoreBrokenConnection);
      sendWhole(response, incoming.method ?? 'GET', fault, responseHeaders(fault, incoming));
      return;
    }
    const { headers } = incoming;
    const trace = traceRequest(this.#parts.tracer, rawPath, headers);
    const call = new HttpCall(trace.span, this.#parts.log);
    const request = new ApiRequest({
      method: incoming.method ?? 'GET',
      rawPath,
      path: cleanPath(rawPath),
      query,
      headers,
      rawHeaders: incoming.rawHeaders,
      body: bodyOf(incoming, this.#parts.maxBodyBytes),
      call,
      incoming,
    });
    this.#active.set(call, request.body);
    callBegins();
    this.#stalls.watch();
    response.on('close', () => {
      if (!response.writableEnded) call.abort(new CallCanceledError('context canceled'));
    });
    response.on('error', ignoreBrokenConnection);
    void this.#serve(request, response, trace)
      .catch((error) => {
        this.#parts.log.error('an answer could not be sent', { error: errorText(error) });
        breakOff(response);
      })
      .finally(() => {
        this.#active.delete(call);
        callEnds();
        if (this.#active.size === 0) this.#idle?.();
      });
  };

  /** Answers a request on a connection that is one too many. */
  readonly refuse = (incoming: IncomingMessage, response: ServerResponse): void => {
    const reply = tooMany('the list of connections');
    const headers = responseHeaders(reply, incoming);
    if (incoming.httpVersionMajor === 1) headers.push('Connection', 'close');
    response.on('error', ignoreBrokenConnection);
    sendWhole(response, incoming.method ?? 'GET', reply, headers);
  };

  async #serve(request: ApiRequest, response: ServerResponse, trace: RequestTrace): Promise<void> {
    const { clock, record, logCall } = this.#parts;
    const started = clock.monotonicMs();
    let reply = trace.refusal;
    if (reply === undefined) {
      try {
        const answer = this.#answer(request);
        reply = answer instanceof Promise ? await answer : answer;
      } catch (error) {
        reply = this.#failure(request, error);
      }
    }
    let size: number;
    try {
      size = await this.#send(request, response, trace, reply);
    } catch (error) {
      reply = this.#failure(request, error);
      size = await this.#send(request, response, trace, reply);
    }
    if (trace.refusal !== undefined) return;
    const elapsed = clock.monotonicMs() - started;
    logCall?.(request, reply.status, size, elapsed);
    record?.(request.method, request.rawPath, reply.status, request.body.length ?? 0, size, elapsed);
    endTrace(trace, request, reply.status);
  }

  #answer(request: ApiRequest): Promise<Reply> | Reply {
    const { cors, checkToken, steps, route } = this.#parts;
    const refusal = cors?.preflight(request) ?? checkToken?.(request);
    if (refusal !== undefined) return refusal;
    const pipeline = steps();
    return pipeline.length === 0 ? route(request) : runPipeline(pipeline, this.#guarded, request);
  }

  /** The router inside a pipeline: its failures are answers, which the steps around it see. */
  readonly #guarded: HttpHandler = async (request) => {
    try {
      return await this.#parts.route(request);
    } catch (error) {
      return this.#failure(request, error);
    }
  };

  #failure(request: ApiRequest, error: unknown): Reply {
    const known = toRuntimeError(error, request.call.log);
    this.#parts.recordError?.(known);
    return errorReply(known);
  }

  async #send(
    request: ApiRequest,
    response: ServerResponse,
    trace: RequestTrace,
    reply: Reply,
  ): Promise<number> {
    if (isGone(response)) {
      reply.afterSent?.();
      return 0;
    }
    const headers = responseHeaders(reply, request.incoming);
    const { cors } = this.#parts;
    if (cors !== undefined && !isPreflight(request)) headers.push(...cors.headers(request));
    addTraceHeaders(trace, headers);
    if (this.#draining && request.incoming.httpVersionMajor === 1) headers.push('Connection', 'close');
    if (reply.afterSent !== undefined) response.on('close', reply.afterSent);
    const { body } = reply;
    if (body === undefined || typeof body === 'string' || body instanceof Uint8Array) {
      return sendWhole(response, request.method, reply, headers);
    }
    return sendStream(response, request.method, reply, headers);
  }
}

/** The client is gone; what matters is told by `close`. */
function ignoreBrokenConnection(): void {}

const isPreflight = (request: ApiRequest): boolean =>
  request.method === 'OPTIONS' && request.header('access-control-request-method') !== '';

function splitRequest(incoming: IncomingMessage): { readonly rawPath: string; readonly query: string } {
  const { path, query } = splitTarget(incoming.url ?? '/');
  return { rawPath: path, query };
}

/** HTTP/2 has no `Connection` header. */
function responseHeaders(reply: Reply, incoming: IncomingMessage): string[] {
  if (incoming.httpVersionMajor === 1) return reply.headers.slice();
  return reply.headers.filter((_, i) => reply.headers[i & ~1]?.toLowerCase() !== 'connection');
}

function bodyOf(incoming: IncomingMessage, limit: number): RequestBody {
  const text = incoming.headers['content-length'];
  const length = text === undefined || !/^\d+$/.test(text) ? undefined : Number(text);
  if (length !== undefined) return length === 0 ? NO_BODY : new IncomingBody(incoming, length, limit);
  if (incoming.httpVersionMajor === 1) {
    return incoming.headers['transfer-encoding'] === undefined
      ? NO_BODY
      : new IncomingBody(incoming, undefined, limit);
  }
  const { stream } = incoming as IncomingMessage & {
    readonly stream?: { readonly endAfterHeaders?: boolean };
  };
  return stream?.endAfterHeaders === true ? NO_BODY : new IncomingBody(incoming, undefined, limit);
}

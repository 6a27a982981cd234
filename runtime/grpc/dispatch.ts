/**
 * The way of a call through the server (gRPC reference, section 1): API lists, token, trace, metrics, API log, handler.
 * Whatever a handler throws becomes a status here and nowhere else.
 */

import type { HeaderList } from '../contracts/app-channel.ts';
import { formatBaggage, parseBaggage } from '../contracts/baggage.ts';
import type { Clock } from '../contracts/clock.ts';
import { errorText, RuntimeError } from '../contracts/error.ts';
import { GrpcCode, grpcCodeName } from '../contracts/grpc-code.ts';
import { encodeBinaryValue, metadataValue } from '../contracts/grpc-wire/metadata.ts';
import type { AnyGrpcMethod, Codec, DuplexStream, GrpcService } from '../contracts/grpc-wire/service.ts';
import { type GrpcStatus, GrpcStatusError } from '../contracts/grpc-wire/status.ts';
import type { Logger } from '../contracts/logger.ts';
import type { Metrics } from '../contracts/metrics.ts';
import { type SpanKind, type Tracer, ZERO_TRACEPARENT } from '../contracts/trace.ts';
import { binaryOfTraceparent, TRACE_BIN_NAME, traceOfMetadata } from '../grpc-client/trace-metadata.ts';
import type { ApiAccessCheck } from './api-access.ts';
import { checkApiToken } from './api-token.ts';
import type { IncomingCall } from './incoming-call.ts';
import { describeCall, describeMessage } from './span-attributes.ts';
import { toGrpcStatus } from './status.ts';

/** A call of a method that no service has; messages are bytes. */
export type RawCall = Pick<
  IncomingCall,
  | 'path'
  | 'metadata'
  | 'messages'
  | 'signal'
  | 'span'
  | 'log'
  | 'protocol'
  | 'callerId'
  | 'peer'
  | 'remainingMs'
  | 'traced'
  | 'addHeaders'
  | 'sendHeaders'
  | 'addTrailers'
  | 'send'
>;

/** Serves such a call; resolves when it has ended well, rejects with its status. */
export type UnknownMethodHandler = (call: RawCall) => Promise<void>;

export interface DispatchOptions {
  readonly services: readonly GrpcService[];
  readonly unknownMethod?: UnknownMethodHandler;
  readonly apiAccess?: ApiAccessCheck;
  readonly apiToken?: string;
  /** App of this sidecar. */
  readonly appId?: string;
  readonly tracer: Tracer;
  readonly metrics: Metrics;
  readonly clock: Clock;
  readonly log: Logger;
  /** Counts error codes (`spec.metrics.recordErrorCodes`). */
  readonly recordErrorCodes?: boolean;
  /** Receives a line per call when API logging is on. */
  readonly apiLog?: Logger;
}

/** What errors without a code of their own say over HTTP. */
const NO_CODE = 'ERROR';

/** Runs calls until they end. */
export function createDispatch(options: DispatchOptions): (call: IncomingCall) => void {
  const methods = new Map<string, AnyGrpcMethod>();
  for (const service of options.services) {
    for (const [name, method] of Object.entries(service.methods))
      methods.set(`/${service.name}/${name}`, method);
  }

  return (call) => {
    const method = methods.get(call.path);
    call.oneRequest = method?.kind === 'unary' || method?.kind === 'server-stream';
    serve(call, method, options).then(
      () => {
        traceLate(call, method);
        call.finish();
      },
      (error: unknown) => {
        traceLate(call, method);
        if (
          options.recordErrorCodes === true &&
          error instanceof RuntimeError &&
          error.errorCode !== NO_CODE
        ) {
          options.metrics.count('error_code_total', {
            error_code: error.errorCode,
            category: error.row.category,
          });
        }
        if (error instanceof GrpcStatusError) call.addTrailers(error.trailers);
        call.finish(toGrpcStatus(error, call.log));
      },
    );
  };
}

async function serve(
  call: IncomingCall,
  method: AnyGrpcMethod | undefined,
  options: DispatchOptions,
): Promise<void> {
  options.apiAccess?.(call.path);
  if (options.apiToken !== undefined && options.apiToken !== '') {
    call.metadata = checkApiToken(call.metadata, options.apiToken);
  }
  const proxied = method === undefined;
  if (proxied && options.unknownMethod === undefined) throw unknownMethod(call.path);
  const headers = trace(call, options, method);
  if (method?.kind !== 'unary') call.addHeaders(headers);
  // What was refused before is neither counted nor logged.
  observe(call, method, options);
  if (method === undefined) return options.unknownMethod?.(call);
  return run(call, method, headers);
}

/** The trace of a passive span is always the same. */
const ZERO_TRACE = binaryTrace(ZERO_TRACEPARENT)[0] as readonly [string, string];

function binaryTrace(traceparent: string | undefined): HeaderList {
  const binary = binaryOfTraceparent(traceparent);
  return binary === undefined ? [] : [[TRACE_BIN_NAME, encodeBinaryValue(binary)]];
}

/** Starts the span. Headers that tell of it are for unary calls, except where the callee's own header counts. */
function trace(call: IncomingCall, options: DispatchOptions, method: AnyGrpcMethod | undefined): HeaderList {
  const { tracer } = options;
  const incoming = traceOfMetadata(call.metadata);
  const headers: (readonly [string, string])[] = [];
  if (tracer.enabled && incoming.baggage !== undefined) {
    const baggage = parseBaggage(incoming.baggage);
    if (baggage.fault !== undefined) throw invalidBaggage(baggage.fault);
    if (baggage.members.size > 0) headers.push(['baggage', formatBaggage(baggage.members)]);
  }
  call.span = tracer.start(call.path, incoming, spanKind(call, options, method));
  call.traced = tracer.enabled;
  if (!tracer.enabled) return headers;
  if (call.span.recording === true) describeCall(call.span, call.path, call.metadata, method === undefined);
  const { traceparent } = call.span.context;
  const shown = method?.kind === 'unary' && !call.path.endsWith('/InvokeService');
  if (shown && traceparent === ZERO_TRACEPARENT) headers.push(ZERO_TRACE);
  else if (shown) headers.push(...binaryTrace(traceparent));
  return headers;
}

const OWN_STREAMS = /^\/(?:dapr\.proto\.(?:runtime|internals)\.|TaskHubSidecarService)/;

/** A stream shows its trace only when it ends before it has said anything: Dapr adds the header after the handler. */
function traceLate(call: IncomingCall, method: AnyGrpcMethod | undefined): void {
  if (!call.traced || method?.kind === 'unary' || !OWN_STREAMS.test(call.path)) return;
  const { traceparent } = call.span.context;
  call.addHeaders(traceparent === ZERO_TRACEPARENT ? [ZERO_TRACE] : binaryTrace(traceparent));
}

function invalidBaggage(fault: string): GrpcStatusError {
  return new GrpcStatusError(GrpcCode.InvalidArgument, `invalid baggage header: ${fault}`);
}

/** Calls of apps make client spans; calls of other sidecars, and proxied calls to the own app, server spans. */
function spanKind(call: IncomingCall, options: DispatchOptions, method: AnyGrpcMethod | undefined): SpanKind {
  if (call.protocol === 'internal') return 'server';
  const own = method === undefined && metadataValue(call.metadata, 'dapr-app-id') === options.appId;
  return own ? 'server' : 'client';
}

async function run(call: IncomingCall, method: AnyGrpcMethod, headers: HeaderList): Promise<void> {
  switch (method.kind) {
    case 'unary': {
      const request: unknown = decode(method.request, await call.receiveOne());
      // A request that is none gets no more than its status.
      if (headers.length > 0) call.addHeaders(headers);
      if (call.span.recording === true) describeMessage(call.span, call.path, request);
      return call.finishWith(method.response.encode(await method.handle(request, call)));
    }
    case 'client-stream':
      return call.finishWith(
        method.response.encode(await method.handle(decodeAll(call, method.request), call)),
      );
    case 'server-stream':
      return sendAll(
        call,
        method.response,
        method.handle(decode(method.request, await receiveOnly(call)), call),
      );
    case 'bidi':
      return sendAll(call, method.response, method.handle(decodeAll(call, method.request), call));
    case 'duplex':
      return method.handle(duplexStream(call, method), call);
  }
}

/** The request of a stream of answers. */
async function receiveOnly(call: IncomingCall): Promise<Uint8Array> {
  const message = await call.messages.next();
  if (message !== undefined) return message;
  const text = 'cardinality violation: received no request message from non-client-streaming RPC';
  throw new GrpcStatusError(GrpcCode.Internal, text);
}

function duplexStream(
  call: IncomingCall,
  { request, response }: { readonly request: Codec<unknown>; readonly response: Codec<unknown> },
): DuplexStream<unknown, unknown> {
  return {
    receive: async () => {
      const bytes = await call.messages.next();
      return bytes === undefined ? undefined : decode(request, bytes);
    },
    send: (message) => call.send(response.encode(message)),
    finishWith: (message) => call.finishWith(response.encode(message)),
  };
}

async function sendAll(
  call: IncomingCall,
  codec: Codec<unknown>,
  messages: AsyncIterable<unknown>,
): Promise<void> {
  for await (const message of messages) {
    if (call.finished) return;
    const wait = call.send(codec.encode(message));
    if (wait !== undefined) await wait;
  }
}

async function* decodeAll(call: IncomingCall, codec: Codec<unknown>): AsyncGenerator<unknown> {
  for (let bytes = await call.messages.next(); bytes !== undefined; bytes = await call.messages.next()) {
    yield decode(codec, bytes);
  }
}

function decode<T>(codec: Codec<T>, bytes: Uint8Array): T {
  try {
    return codec.decode(bytes);
  } catch (cause) {
    throw new GrpcStatusError(GrpcCode.Internal, `grpc: error unmarshalling request: ${errorText(cause)}`, {
      cause,
    });
  }
}

function unknownMethod(path: string): GrpcStatusError {
  const [service = '', name = ''] = path.slice(1).split('/');
  return new GrpcStatusError(GrpcCode.Unimplemented, `unknown method ${name} for service ${service}`);
}

/** Metrics, span and API log of a call, written when it has ended. Streams count only when an app is called. */
function observe(call: IncomingCall, method: AnyGrpcMethod | undefined, options: DispatchOptions): void {
  const { metrics, clock, apiLog } = options;
  const startedMs = clock.monotonicMs();
  call.onFinished = (status) => {
    const elapsedMs = Math.floor(clock.monotonicMs() - startedMs);
    const unary = method?.kind === 'unary';
    const proxied = !unary && metadataValue(call.metadata, 'dapr-app-id') !== undefined;
    if (proxied && call.protocol === 'internal') {
      // Another sidecar's call on its way to the app: Dapr counts it as one of its own to the app.
      const labels = { grpc_client_method: call.path, grpc_client_status: grpcCodeName(status.code) };
      metrics.count('grpc_io_client_completed_rpcs', labels);
      metrics.observe('grpc_io_client_roundtrip_latency', labels, elapsedMs);
    } else if (unary || proxied) {
      const labels = { grpc_server_method: call.path, grpc_server_status: grpcCodeName(status.code) };
      metrics.count('grpc_io_server_completed_rpcs', labels);
      metrics.observe('grpc_io_server_server_latency', labels, elapsedMs);
    }
    if (unary) {
      const labels = { grpc_server_method: call.path };
      metrics.observe('grpc_io_server_received_bytes_per_rpc', labels, call.receivedBytes);
      metrics.observe('grpc_io_server_sent_bytes_per_rpc', labels, call.sentBytes);
    }
    call.span.end(status.code === GrpcCode.OK ? undefined : status.message);
    if (apiLog !== undefined) logCall(apiLog, call.path, call.metadata, elapsedMs, status);
  };
}

function logCall(
  log: Logger,
  path: string,
  metadata: HeaderList,
  elapsedMs: number,
  status: GrpcStatus,
): void {
  const userAgent = metadataValue(metadata, 'user-agent');
  log.info('gRPC API Called', {
    method: path,
    ...(userAgent === undefined ? {} : { useragent: userAgent }),
    duration: elapsedMs,
    code: status.code,
  });
}

/**
 * What a gRPC server serves: services of methods that turn decoded messages into messages. Any part of the runtime can
 * offer one without knowing the server; codecs come with the methods, so no protobuf library is named here.
 */

import type { HeaderList } from '../app-channel.ts';
import type { CallContext } from '../call-context.ts';

/** The call as a handler sees it. */
export interface GrpcCall extends CallContext {
  /** Full path, `/package.Service/Method`. */
  readonly path: string;
  /** Incoming metadata; the API token is already removed. */
  readonly metadata: HeaderList;
  /** `host:port` of the caller, empty on a Unix socket. */
  readonly peer: string;
  /** Adds header metadata of the answer; without effect once headers are sent. */
  addHeaders(metadata: HeaderList): void;
  /** Sends the headers now, before the first message. */
  sendHeaders(): void;
  /** Adds trailing metadata of the answer. */
  addTrailers(metadata: HeaderList): void;
}

export interface Codec<T> {
  encode(message: T): Uint8Array;
  /** Throws on bytes that are not such a message. */
  decode(bytes: Uint8Array): T;
}

interface MethodCodecs<I, O> {
  readonly request: Codec<I>;
  readonly response: Codec<O>;
}

export interface UnaryMethod<I, O> extends MethodCodecs<I, O> {
  readonly kind: 'unary';
  handle(request: I, call: GrpcCall): Promise<O>;
}

export interface ServerStreamMethod<I, O> extends MethodCodecs<I, O> {
  readonly kind: 'server-stream';
  handle(request: I, call: GrpcCall): AsyncIterable<O>;
}

export interface ClientStreamMethod<I, O> extends MethodCodecs<I, O> {
  readonly kind: 'client-stream';
  handle(requests: AsyncIterable<I>, call: GrpcCall): Promise<O>;
}

export interface BidiMethod<I, O> extends MethodCodecs<I, O> {
  readonly kind: 'bidi';
  handle(requests: AsyncIterable<I>, call: GrpcCall): AsyncIterable<O>;
}

/** A stream both ways as a handler drives it: what the client sends is asked for, what is answered is handed over. */
export interface DuplexStream<I, O> {
  /** The next message, `undefined` at the end of the client's half. One reader at a time. */
  receive(): Promise<I | undefined>;
  /** Sends a message; wait for the result when it is a promise. */
  send(message: O): Promise<void> | undefined;
  /** Ends the call well with a last message, in one write. */
  finishWith(message: O): void;
}

/** Like `bidi`, without a generator on either side: for the calls whose cost matters most. */
export interface DuplexMethod<I, O> extends MethodCodecs<I, O> {
  readonly kind: 'duplex';
  handle(stream: DuplexStream<I, O>, call: GrpcCall): Promise<void>;
}

export type GrpcMethodHandler<I, O> =
  | UnaryMethod<I, O>
  | ServerStreamMethod<I, O>
  | ClientStreamMethod<I, O>
  | BidiMethod<I, O>
  | DuplexMethod<I, O>;

// biome-ignore lint/suspicious/noExplicitAny: a service holds methods of every message type
export type AnyGrpcMethod = GrpcMethodHandler<any, any>;

export interface GrpcService {
  /** `dapr.proto.runtime.v1.Dapr`. */
  readonly name: string;
  readonly methods: Readonly<Record<string, AnyGrpcMethod>>;
}

export function unaryMethod<I, O>(
  request: Codec<I>,
  response: Codec<O>,
  handle: (request: I, call: GrpcCall) => Promise<O>,
): UnaryMethod<I, O> {
  return { kind: 'unary', request, response, handle };
}

export function serverStreamMethod<I, O>(
  request: Codec<I>,
  response: Codec<O>,
  handle: (request: I, call: GrpcCall) => AsyncIterable<O>,
): ServerStreamMethod<I, O> {
  return { kind: 'server-stream', request, response, handle };
}

export function clientStreamMethod<I, O>(
  request: Codec<I>,
  response: Codec<O>,
  handle: (requests: AsyncIterable<I>, call: GrpcCall) => Promise<O>,
): ClientStreamMethod<I, O> {
  return { kind: 'client-stream', request, response, handle };
}

export function bidiMethod<I, O>(
  request: Codec<I>,
  response: Codec<O>,
  handle: (requests: AsyncIterable<I>, call: GrpcCall) => AsyncIterable<O>,
): BidiMethod<I, O> {
  return { kind: 'bidi', request, response, handle };
}

export function duplexMethod<I, O>(
  request: Codec<I>,
  response: Codec<O>,
  handle: (stream: DuplexStream<I, O>, call: GrpcCall) => Promise<void>,
): DuplexMethod<I, O> {
  return { kind: 'duplex', request, response, handle };
}

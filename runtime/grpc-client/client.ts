/**
 * gRPC client over `node:http2`: one connection per target (more only when it is full), re-made when it broke, shared
 * by the app channel, other sidecars and the proxy. Messages are bytes; `callUnary` and friends add codecs.
 */

import type { ConnectionOptions } from 'node:tls';
import type { HeaderList } from '../contracts/app-channel.ts';
import type { Clock } from '../contracts/clock.ts';
import { GrpcCode } from '../contracts/grpc-code.ts';
import type { Codec } from '../contracts/grpc-wire/service.ts';
import { GrpcStatusError } from '../contracts/grpc-wire/status.ts';
import type { Workload } from '../contracts/spiffe.ts';
import { abortStatus } from './abort-status.ts';
import { type GrpcCallOptions, type GrpcStream, NOT_PROCESSED } from './call.ts';
import { openSession, type Session, type SessionLimits } from './session.ts';

export interface GrpcClientOptions {
  /** `host:port`, `[v6]:port` or `unix:///path`. */
  readonly target: string;
  /** Absent: plaintext. `{ rejectUnauthorized: false }`: TLS without verification. A function is asked per connection. */
  readonly tls?: ConnectionOptions | (() => ConnectionOptions);
  readonly clock: Clock;
  /** Defaults: 30 s dial, ping after 10 s with 5 s for the answer, idle close after 3 min, 2048 calls, 4 MiB. */
  readonly limits?: Partial<SessionLimits>;
  /** The last connection is gone, or could not be made; the next call dials anew. */
  readonly disconnected?: () => void;
}

export interface UnaryAnswer {
  readonly message: Uint8Array;
  readonly headers: HeaderList;
  readonly trailers: HeaderList;
}

export interface GrpcClient {
  readonly target: string;
  /** One message out, one back. Rejects with a `GrpcStatusError`. */
  unary(path: string, message: Uint8Array, options?: GrpcCallOptions): Promise<UnaryAnswer>;
  /** One message out, any number back. Rejects only when no connection can be made. */
  serverStream(path: string, message: Uint8Array, options?: GrpcCallOptions): Promise<GrpcStream>;
  /** A stream both ways; `requests`, when given, are sent as they come. */
  bidi(path: string, options?: GrpcCallOptions, requests?: AsyncIterable<Uint8Array>): Promise<GrpcStream>;
  /** Resolves when a connection stands; rejects with Unavailable. */
  connect(signal?: AbortSignal): Promise<void>;
  /** Forgets the connections, so that the next call dials again; calls in progress fail with Unavailable. */
  reset(): void;
  /** Calls in progress finish; new ones fail. */
  close(): Promise<void>;
}

const DEFAULTS: SessionLimits = {
  connectTimeoutMs: 30_000,
  pingAfterMs: 10_000,
  pingTimeoutMs: 5000,
  idleMs: 180_000,
  maxConcurrentCalls: 2048,
  maxMessageBytes: 4 * 1024 * 1024,
};
/** Beyond this many connections calls share the least busy one. */
const MAX_SESSIONS = 8;

/** A client of one target; it dials with the first call. */
export function createGrpcClient(options: GrpcClientOptions): GrpcClient {
  const limits: SessionLimits = { ...DEFAULTS, ...options.limits };
  const sessions = new Set<Session>();
  let closed = false;

  const pick = (): Session => {
    let best: Session | undefined;
    for (const session of sessions) {
      if (session.free) return session;
      if (best === undefined || session.calls < best.calls) best = session;
    }
    if (best !== undefined && sessions.size >= MAX_SESSIONS) return best;
    const session = openSession({
      ...limits,
      target: options.target,
      tls: typeof options.tls === 'function' ? options.tls() : options.tls,
      clock: options.clock,
      ended: (ended) => {
        sessions.delete(ended);
        if (sessions.size === 0) options.disconnected?.();
      },
    });
    sessions.add(session);
    return session;
  };

  const ready = async (signal: AbortSignal | undefined): Promise<Session> => {
    if (closed) throw new GrpcStatusError(GrpcCode.Unavailable, 'the client is closed');
    if (signal?.aborted === true) throw abortStatus(signal.reason);
    const session = pick();
    session.reserve();
    if (session.connected) return session;
    try {
      await withSignal(session.ready, signal);
    } catch (error) {
      session.release();
      throw error;
    }
    return session;
  };

  return {
    ...grpcClientOver(options.target, async (path, call) => (await ready(call.signal)).start(path, call)),
    connect: async (signal) => (await ready(signal)).release(),
    reset: () => {
      for (const session of [...sessions]) session.destroy('the connection was reset');
    },
    close: async () => {
      closed = true;
      await Promise.all([...sessions].map((session) => session.close()));
    },
  };
}

/** A client whose streams come from somewhere else; it has no connections of its own to make, reset or close. */
export function grpcClientOver(
  target: string,
  start: (path: string, call: GrpcCallOptions) => Promise<GrpcStream>,
): GrpcClient {
  const serverStream: GrpcClient['serverStream'] = async (path, message, call = {}) => {
    const stream = await start(path, call);
    void stream.send(message);
    stream.end();
    return stream;
  };
  const once = async (path: string, message: Uint8Array, call: GrpcCallOptions): Promise<UnaryAnswer> => {
    const stream = await serverStream(path, message, call);
    const answer = await single(stream);
    return { message: answer, headers: await stream.headers, trailers: stream.trailers() };
  };
  return {
    target,
    bidi: async (path, call = {}, requests) => {
      const stream = await start(path, call);
      if (requests !== undefined) void pump(requests, stream);
      return stream;
    },
    serverStream,
    unary: (path, message, call = {}) =>
      once(path, message, call).catch((error: unknown) => {
        // A server that is about to close refuses what crossed its GOAWAY (gRPC A6, transparent retries).
        if (error instanceof GrpcStatusError && error.cause === NOT_PROCESSED)
          return once(path, message, call);
        throw error;
      }),
    connect: async () => {},
    reset: () => {},
    close: async () => {},
  };
}

/** The only message of a stream. */
async function single(stream: GrpcStream): Promise<Uint8Array> {
  const reader = stream.messages[Symbol.asyncIterator]();
  const first = await reader.next();
  if (first.done === true) throw new GrpcStatusError(GrpcCode.Internal, 'the answer has no message');
  const second = await reader.next();
  if (second.done === true) return first.value;
  stream.cancel();
  throw new GrpcStatusError(GrpcCode.Internal, 'the answer has more than one message');
}

async function pump(requests: AsyncIterable<Uint8Array>, stream: GrpcStream): Promise<void> {
  try {
    for await (const message of requests) await stream.send(message);
    stream.end();
  } catch (error) {
    stream.cancel(error instanceof GrpcStatusError ? error : abortStatus(error));
  }
}

function withSignal<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return work;
  return new Promise((resolve, reject) => {
    const aborted = (): void => reject(abortStatus(signal.reason));
    signal.addEventListener('abort', aborted, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', aborted));
  });
}

/** A unary call with its codecs. */
export async function callUnary<I, O>(
  client: GrpcClient,
  method: { readonly path: string; readonly request: Codec<I>; readonly response: Codec<O> },
  message: I,
  options?: GrpcCallOptions,
): Promise<{ readonly message: O; readonly headers: HeaderList; readonly trailers: HeaderList }> {
  const answer = await client.unary(method.path, method.request.encode(message), options);
  return { ...answer, message: method.response.decode(answer.message) };
}

export interface GrpcClientPool {
  /** The client of a target, made at first use. Under mutual TLS the target must be `callee`. */
  client(target: string, callee?: Workload): GrpcClient;
  close(): Promise<void>;
}

/** Clients by target, with common options; those without a connection are forgotten once there are many. */
export function createGrpcClientPool(
  options: Omit<GrpcClientOptions, 'target'> & {
    /** Mutual TLS: how a connection to this app is made and verified. */
    readonly dial?: ((callee: Workload) => ConnectionOptions) | undefined;
  },
  maxTargets = 1024,
): GrpcClientPool {
  const { dial, ...shared } = options;
  const clients = new Map<string, GrpcClient>();
  return {
    client: (target, callee) => {
      if (dial !== undefined && callee === undefined) throw new Error(`nobody is named at ${target}`);
      // A connection is verified for one app, whoever else the address belonged to before or after.
      const key =
        dial === undefined || callee === undefined ? target : `${target} ${callee.namespace} ${callee.appId}`;
      const known = clients.get(key);
      if (known !== undefined) return known;
      const oldest = clients.size >= maxTargets ? clients.keys().next().value : undefined;
      if (oldest !== undefined) {
        void clients.get(oldest)?.close();
        clients.delete(oldest);
      }
      const client = createGrpcClient({
        ...shared,
        target,
        ...(dial === undefined || callee === undefined ? {} : { tls: () => dial(callee) }),
      });
      clients.set(key, client);
      return client;
    },
    close: async () => {
      await Promise.all([...clients.values()].map((client) => client.close()));
      clients.clear();
    },
  };
}

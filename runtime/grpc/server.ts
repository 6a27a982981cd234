/**
 * gRPC server over `node:http2`, plaintext or mutual TLS, on TCP addresses or a Unix socket. It knows HTTP/2 and the gRPC
 * protocol; what calls mean is in the services. Serves the API port and the internal port alike.
 */

import {
  createServer,
  type Http2SecureServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import type { AddressInfo } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { callBegins, callEnds } from '../contracts/calls-in-progress.ts';
import type { Clock, Timer } from '../contracts/clock.ts';
import { errorText } from '../contracts/error.ts';
import { GrpcCode } from '../contracts/grpc-code.ts';
import { GrpcStatusError, trailersOfStatus } from '../contracts/grpc-wire/status.ts';
import type { ServerTls } from '../contracts/mesh-security.ts';
import type { ApiAccessRule } from '../contracts/resource.ts';
import type { SpiffeId } from '../contracts/spiffe.ts';
import { createApiAccessCheck } from './api-access.ts';
import { createDispatch, type DispatchOptions } from './dispatch.ts';
import { IncomingCall } from './incoming-call.ts';
import type { ReservedPort } from './reserved-port.ts';
import { type Keepalive, watchSession } from './session-keepalive.ts';
import { clientIdOf, createTlsServer, type TlsServer } from './tls-server.ts';

export interface GrpcServerOptions extends Omit<DispatchOptions, 'apiAccess'> {
  /** Addresses to listen on; ignored with `unixSocket`. */
  readonly addresses: readonly string[];
  /** 0: any free port (the same on every address). */
  readonly port: number;
  readonly unixSocket?: string;
  /** Port that was taken before; listens there and nowhere else. */
  readonly reserved?: ReservedPort | undefined;
  readonly maxMessageBytes: number;
  /** Absent: 4096. */
  readonly maxConnections?: number;
  /** Bytes of one header block (`dapr-http-read-buffer-size`). */
  readonly maxHeaderBytes?: number;
  readonly protocol: 'grpc' | 'internal';
  /** Absent: plaintext. */
  readonly tls?: ServerTls | undefined;
  readonly apiLists?: {
    readonly allowed: readonly ApiAccessRule[];
    readonly denied: readonly ApiAccessRule[];
  };
}

export interface GrpcServer {
  /** Listens; rejects when no address works. Resolves with the port (0 for a Unix socket). */
  listen(): Promise<number>;
  /** Takes no new calls, waits up to `graceMs` for those in progress, then breaks what is left. */
  close(graceMs: number): Promise<void>;
  /** Calls in progress. */
  readonly calls: number;
  /** Takes a call that came over another connection than ours; `callerId` is who calls as that connection knows it. */
  serve(
    stream: ServerHttp2Stream,
    fields: IncomingHttpHeaders,
    rawHeaders: readonly string[],
    callerId: SpiffeId | undefined,
  ): void;
}

type AnyServer = Http2Server | Http2SecureServer;

const SETTINGS = { enablePush: false, initialWindowSize: 1024 * 1024 };
const SESSION_WINDOW_BYTES = 4 * 1024 * 1024;
// The typings do not know `sendDate`, which Node takes.
const RESPOND_ALONE = { endStream: true, sendDate: false };
const DEFAULT_HEADER_BYTES = 64 * 1024;
/** As on the HTTP port, and so many more are told that they are too many. */
const MAX_CONNECTIONS = 4096;
const REFUSED_CONNECTIONS = 256;
/** Time that such a connection has for its only call. */
const REFUSED_MS = 10_000;
/** Connections that wait to be accepted; the system's own bound applies, too. */
export const BACKLOG = 4096;
/** Calls in progress at once over all connections; what comes on top is refused. */
const MAX_CALLS = 16_384;

/** The last answers of a drained connection get this long to leave the process. */
const FLUSH_LIMIT_MS = 1000;

/** Resolves when the sessions (told to close before) have ended by themselves, or after the limit. */
function sessionsClosed(sessions: readonly ServerHttp2Session[], clock: Clock): Promise<void> {
  const open = sessions.filter((session) => !session.destroyed);
  if (open.length === 0) return Promise.resolve();
  return new Promise((resolve) => {
    let left = open.length;
    const timer = clock.startTimer(FLUSH_LIMIT_MS, resolve, true);
    const ended = (): void => {
      left -= 1;
      if (left > 0) return;
      timer.cancel();
      resolve();
    };
    for (const session of open) session.once('close', ended);
  });
}

/** A server that does not listen yet. */
export function createGrpcServer(options: GrpcServerOptions): GrpcServer {
  const apiAccess = options.apiLists === undefined ? undefined : createApiAccessCheck(options.apiLists);
  const dispatch = createDispatch({ ...options, ...(apiAccess === undefined ? {} : { apiAccess }) });
  const sessions = new Map<ServerHttp2Session, Keepalive>();
  const calls = new Set<IncomingCall>();
  const servers: AnyServer[] = [];
  const tlsServers: TlsServer[] = [];
  const callers = new WeakMap<ServerHttp2Session, SpiffeId>();
  const { maxConnections = MAX_CONNECTIONS } = options;
  let drained: (() => void) | undefined;

  const onStream = (
    stream: ServerHttp2Stream,
    fields: IncomingHttpHeaders,
    rawHeaders: readonly string[],
  ): void => {
    if (refuse(stream, fields)) return;
    if (calls.size >= MAX_CALLS) {
      alone(
        stream,
        200,
        GrpcCode.ResourceExhausted,
        'the list of calls in progress is full; try again later',
      );
      return;
    }
    const keepalive =
      stream.session === undefined ? undefined : sessions.get(stream.session as ServerHttp2Session);
    if (keepalive === undefined) {
      alone(stream, 200, GrpcCode.ResourceExhausted, 'the list of connections is full; try again later');
      stream.session?.close();
      return;
    }
    const callerId =
      options.tls === undefined ? undefined : callers.get(stream.session as ServerHttp2Session);
    take(stream, fields, rawHeaders, keepalive, callerId);
  };

  const take = (
    stream: ServerHttp2Stream,
    fields: IncomingHttpHeaders,
    rawHeaders: readonly string[],
    keepalive: Keepalive,
    callerId: SpiffeId | undefined,
  ): void => {
    const call = new IncomingCall(stream, fields, rawHeaders, {
      protocol: options.protocol,
      clock: options.clock,
      log: options.log,
      maxMessageBytes: options.maxMessageBytes,
      keepalive,
      callerId,
    });
    calls.add(call);
    callBegins();
    keepalive.callStarted();
    stream.once('close', () => {
      calls.delete(call);
      callEnds();
      keepalive.callEnded();
      if (calls.size === 0) drained?.();
    });
    if (!call.finished) dispatch(call);
  };

  /** Under mutual TLS only sessions whose client has a name are served. */
  const identify = (session: ServerHttp2Session): boolean => {
    try {
      callers.set(session, clientIdOf(session.socket as TLSSocket));
      return true;
    } catch (error) {
      options.log.warn(
        `refused a connection from ${session.socket.remoteAddress ?? 'nowhere'}: ${errorText(error)}`,
      );
      session.destroy();
      return false;
    }
  };

  const create = (): AnyServer => {
    const http2 = {
      settings: { ...SETTINGS, maxHeaderListSize: options.maxHeaderBytes ?? DEFAULT_HEADER_BYTES },
      strictSingleValueFields: false,
      // A reset flood is a matter for flow control, not for ending a busy client's connection.
      streamResetBurst: 10_000,
      streamResetRate: 1000,
    };
    let server: AnyServer;
    if (options.tls === undefined) server = createServer(http2);
    else {
      const secure = createTlsServer({ tls: options.tls, http2, clock: options.clock, log: options.log });
      tlsServers.push(secure);
      server = secure.server;
    }
    server.maxConnections = maxConnections + REFUSED_CONNECTIONS;
    server.on('session', (session: ServerHttp2Session) => {
      session.on('error', (error) => options.log.debug('gRPC connection error', { error }));
      if (options.tls !== undefined && !identify(session)) return;
      if (sessions.size >= maxConnections) {
        session.setTimeout(REFUSED_MS, () => session.destroy());
        return;
      }
      const keepalive = watchSession(session, options.clock);
      sessions.set(session, keepalive);
      session.setLocalWindowSize(SESSION_WINDOW_BYTES);
      session.once('close', () => {
        keepalive.stop();
        sessions.delete(session);
      });
    });
    server.on('sessionError', (error: Error) => options.log.debug('gRPC connection error', { error }));
    server.on(
      'stream',
      (stream: ServerHttp2Stream, fields: IncomingHttpHeaders, _flags: number, raw: string[]) =>
        onStream(stream, fields, raw),
    );
    return server;
  };

  return {
    listen: async () => {
      const { reserved } = options;
      if (reserved === undefined) return listenAll(options, create, servers);
      const server = create();
      reserved.serve(server, maxConnections + REFUSED_CONNECTIONS);
      return reserved.port;
    },
    close: async (graceMs) => {
      const closed = Promise.all([
        ...servers.map((server) => new Promise<void>((resolve) => server.close(() => resolve()))),
        options.reserved?.close(),
      ]);
      for (const session of sessions.keys()) session.close();
      await waitForCalls(
        options,
        graceMs,
        () => calls.size === 0,
        (done) => {
          drained = done;
        },
      );
      for (const call of calls)
        call.giveUp(new GrpcStatusError(GrpcCode.Unavailable, 'the server is shutting down'));
      await sessionsClosed([...sessions.keys()], options.clock);
      for (const session of sessions.keys()) session.destroy();
      for (const server of tlsServers) server.destroyAll();
      await closed;
    },
    get calls() {
      return calls.size;
    },
    serve: (stream, fields, rawHeaders, callerId) => {
      if (refuse(stream, fields)) return;
      if (calls.size >= MAX_CALLS) stream.close(7);
      else take(stream, fields, rawHeaders, WATCHED_ELSEWHERE, callerId);
    },
  };
}

const nothing = (): void => {};
/** The connection that a call came over looks after itself. */
const WATCHED_ELSEWHERE: Keepalive = {
  received: nothing,
  sent: nothing,
  callStarted: nothing,
  callEnded: nothing,
  stop: nothing,
};

/** Listens on every address; one that fails is logged, all failing is an error. */
async function listenAll(
  options: GrpcServerOptions,
  create: () => AnyServer,
  servers: AnyServer[],
): Promise<number> {
  if (options.unixSocket !== undefined) {
    const server = create();
    await listenOn(server, { path: options.unixSocket });
    servers.push(server);
    options.log.info(`gRPC server listening on UNIX socket: ${options.unixSocket}`);
    return 0;
  }
  let { port } = options;
  let failure: unknown;
  for (const host of options.addresses) {
    const server = create();
    try {
      await listenOn(server, { host: host.replace(/^\[(.*)\]$/, '$1'), port });
    } catch (error) {
      failure = error;
      options.log.error(
        `Failed to listen for gRPC server on TCP address ${host}:${port} with error: ${String(error)}`,
      );
      continue;
    }
    servers.push(server);
    port = (server.address() as AddressInfo).port;
    options.log.info(`gRPC server listening on TCP address: ${host}:${port}`);
  }
  if (servers.length === 0) throw new Error('could not listen on any endpoint', { cause: failure });
  return port;
}

function listenOn(
  server: AnyServer,
  where: { path: string } | { host: string; port: number },
): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ backlog: BACKLOG, ...where }, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

function waitForCalls(
  options: GrpcServerOptions,
  graceMs: number,
  idle: () => boolean,
  onDrained: (done: () => void) => void,
): Promise<void> {
  if (idle()) return Promise.resolve();
  return new Promise((resolve) => {
    let limit: Timer | undefined;
    const done = (): void => {
      limit?.cancel();
      resolve();
    };
    onDrained(done);
    limit = options.clock.startTimer(graceMs, done, true);
  });
}

/** Answers what is no gRPC call at all; true when it did. */
function refuse(stream: ServerHttp2Stream, fields: IncomingHttpHeaders): boolean {
  const type = fields['content-type'];
  if (type === undefined || !/^application\/grpc(?:[+;]|$)/.test(type)) {
    return alone(
      stream,
      415,
      GrpcCode.InvalidArgument,
      `invalid gRPC request content-type ${JSON.stringify(type ?? '')}`,
    );
  }
  if (fields[':method'] !== 'POST') {
    return alone(
      stream,
      405,
      GrpcCode.Internal,
      `Received a HEADERS frame with :method ${JSON.stringify(fields[':method'])} which should be POST`,
    );
  }
  const path = fields[':path'] ?? '';
  if (!path.startsWith('/') || path.indexOf('/', 1) < 0) {
    return alone(stream, 200, GrpcCode.Unimplemented, `malformed method name: ${JSON.stringify(path)}`);
  }
  return false;
}

function alone(stream: ServerHttp2Stream, httpStatus: number, code: number, message: string): true {
  stream.on('error', () => {});
  stream.respond(
    { ':status': httpStatus, 'content-type': 'application/grpc', ...trailersOfStatus({ code, message }) },
    RESPOND_ALONE,
  );
  stream.resume();
  setImmediate(() => {
    if (!stream.destroyed) stream.close(0);
  });
  return true;
}

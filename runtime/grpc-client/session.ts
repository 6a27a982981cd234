/**
 * One HTTP/2 connection of a client: dials with a limit, pings when nothing was heard (10 s, answer within 5 s), closes
 * after three minutes without calls (gRPC reference, section 5.4), and leaves the pool at the first sign of an end.
 */

import { type ClientHttp2Session, connect } from 'node:http2';
import { createConnection, type Socket } from 'node:net';
import { type ConnectionOptions, TLSSocket } from 'node:tls';
import type { Clock, Timer } from '../contracts/clock.ts';
import { DIAL_FAULTS } from '../contracts/dial-fault.ts';
import { errorText } from '../contracts/error.ts';
import { GrpcCode } from '../contracts/grpc-code.ts';
import { GrpcStatusError } from '../contracts/grpc-wire/status.ts';
import { type GrpcCallOptions, type GrpcStream, startCall } from './call.ts';

export interface SessionLimits {
  readonly connectTimeoutMs: number;
  /** Ping when nothing was heard for so long. */
  readonly pingAfterMs: number;
  readonly pingTimeoutMs: number;
  readonly idleMs: number;
  readonly maxConcurrentCalls: number;
  readonly maxMessageBytes: number;
}

export interface SessionOptions extends SessionLimits {
  /** `host:port`, `[v6]:port` or `unix:///path`. */
  readonly target: string;
  readonly tls: ConnectionOptions | undefined;
  readonly clock: Clock;
  /** The session takes no more calls. */
  ended(session: Session): void;
}

export interface Session {
  /** Resolves once connected; rejects with Unavailable. */
  readonly ready: Promise<void>;
  readonly connected: boolean;
  /** Calls in progress. */
  readonly calls: number;
  /** Whether one more call fits. */
  readonly free: boolean;
  /** Counts a call that is about to start, so that others see its place taken. */
  reserve(): void;
  /** Gives the place back when the call could not start. */
  release(): void;
  /** Starts a call on a reserved place. */
  start(path: string, options: GrpcCallOptions): GrpcStream;
  /** Finishes the calls in progress, then closes. */
  close(): Promise<void>;
  /** Breaks the connection now; calls in progress fail with Unavailable. */
  destroy(why: string): void;
}

const WINDOW_BYTES = 1024 * 1024;

/** Starts dialling `options.target`. */
export function openSession(options: SessionOptions): Session {
  const { clock } = options;
  const http2 = dial(options);
  let connected = false;
  let calls = 0;
  let heardAt = clock.monotonicMs();
  let idleSince = heardAt;
  let broken: string | undefined;
  let over = false;
  let tick: Timer | undefined;
  let pingLimit: Timer | undefined;
  let raw: Socket | undefined;
  const heard = (): void => {
    heardAt = clock.monotonicMs();
  };
  const session: Session = {
    ready: new Promise((resolve, reject) => {
      const limit = clock.startTimer(
        options.connectTimeoutMs,
        () => destroy(dialError(options.target, 'i/o timeout')),
        true,
      );
      http2.once('connect', (_, socket) => {
        limit.cancel();
        raw = socket;
        connected = true;
        heard();
        idleSince = heardAt;
        http2.setLocalWindowSize(WINDOW_BYTES);
        tick = clock.startTimer(options.pingAfterMs, watch, true);
        resolve();
      });
      http2.once('close', () => {
        limit.cancel();
        leave();
        reject(
          new GrpcStatusError(GrpcCode.Unavailable, broken ?? dialError(options.target, 'connection closed')),
        );
      });
    }),
    get connected() {
      return connected;
    },
    get calls() {
      return calls;
    },
    get free() {
      return (
        !over &&
        calls < Math.min(options.maxConcurrentCalls, http2.remoteSettings?.maxConcurrentStreams ?? 100)
      );
    },
    reserve: () => {
      calls += 1;
    },
    release: () => {
      calls -= 1;
      idleSince = clock.monotonicMs();
    },
    start: (path, call) =>
      startCall(http2, path, {
        ...call,
        maxMessageBytes: options.maxMessageBytes,
        clock,
        closed: () => session.release(),
        alive: heard,
        broken: () => broken ?? (lost() ? 'connection error: the connection was closed' : undefined),
      }),
    close: () =>
      new Promise((resolve) => {
        leave();
        if (http2.destroyed) return resolve();
        http2.once('close', () => resolve());
        if (connected) http2.close();
        else destroy('the client is closed');
      }),
    destroy: (why) => destroy(why),
  };
  session.ready.catch(() => {});

  /** Streams of a lost connection end as if they were reset, a little before the session says why. */
  const lost = (): boolean => http2.destroyed || http2.socket === undefined || http2.socket.destroyed;
  const leave = (): void => {
    if (over) return;
    over = true;
    tick?.cancel();
    pingLimit?.cancel();
    options.ended(session);
  };
  const destroy = (why: string): void => {
    broken ??= why;
    leave();
    // A polite end would wait behind what was sent into the dark, and the other side hold what it sent for as long. Under
    // TLS there is only the polite one. First: a session that was destroyed before looks for its end for ever.
    if (raw !== undefined && !(raw instanceof TLSSocket) && raw.remotePort !== undefined)
      raw.resetAndDestroy();
    http2.destroy();
  };
  const watch = (): void => {
    if (over) return;
    const now = clock.monotonicMs();
    if (calls === 0 && now - idleSince >= options.idleMs) {
      leave();
      http2.close();
      return;
    }
    const quietMs = now - heardAt;
    if (quietMs >= options.pingAfterMs) ping();
    const waitMs = options.pingAfterMs - quietMs;
    tick = clock.startTimer(waitMs > 0 ? waitMs : options.pingAfterMs, watch, true);
  };
  const ping = (): void => {
    pingLimit ??= clock.startTimer(
      options.pingTimeoutMs,
      () => destroy('keepalive ping failed to receive ACK within timeout'),
      true,
    );
    http2.ping((error) => {
      if (error !== null) return;
      pingLimit?.cancel();
      pingLimit = undefined;
      heard();
    });
  };

  http2.on('error', (error) => {
    broken ??= connected
      ? `connection error: ${errorText(error)}`
      : dialError(options.target, dialFault(error));
    leave();
  });
  // Node closes (NO_ERROR) or destroys the session itself; either way it takes no new calls.
  http2.on('goaway', (code) => {
    if (code !== 0) broken ??= `connection closed by the server with code ${code}`;
    leave();
  });
  http2.on('remoteSettings', heard);
  // While the server asks, there is no need to ask it.
  http2.on('ping', heard);
  return session;
}

function dial(options: SessionOptions): ClientHttp2Session {
  // Metadata may repeat any name. The typings know this option for servers only.
  const shared = {
    settings: { enablePush: false, initialWindowSize: WINDOW_BYTES },
    strictSingleValueFields: false,
  };
  if (options.target.startsWith('unix:')) {
    const path = socketPath(options.target);
    return connect('http://localhost', { ...shared, createConnection: () => createConnection({ path }) });
  }
  if (options.tls === undefined) return connect(`http://${options.target}`, shared);
  return connect(`https://${options.target}`, { ...options.tls, ...shared });
}

/** Why there is no connection, in the words of gRPC's Go clients where they have some. */
function dialFault(error: Error): string {
  const { code } = error as NodeJS.ErrnoException;
  return DIAL_FAULTS[code ?? ''] ?? errorText(error);
}

function dialError(target: string, reason: string): string {
  const where = target.startsWith('unix:') ? `unix ${socketPath(target)}` : `tcp ${target}`;
  return `connection error: desc = "transport: Error while dialing: dial ${where}: ${reason}"`;
}

/** Path of a `unix:` target, with or without the two slashes. */
function socketPath(target: string): string {
  return target.replace(/^unix:(\/\/)?/, '');
}

/**
 * One listening socket of the API: HTTP/1.1, and on the same port cleartext HTTP/2 by prior knowledge and by upgrade
 * (Dapr HTTP reference, section 2.1). Every connection begins at the HTTP/1 parser, which stops at the preface of HTTP/2 and
 * says so: then the connection changes hands. So the usual one costs nothing extra.
 */

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createHttp2Server, type Http2Server, type ServerHttp2Session } from 'node:http2';
import { type AddressInfo, type ListenOptions, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Clock, Timer } from '../contracts/clock.ts';
import { PREFACE, upgradeToH2c, wantsH2c } from './h2c-upgrade.ts';
import { escapeTarget } from './unescaped-target.ts';

export interface ListenerOptions {
  readonly clock: Clock;
  readonly h2c: boolean;
  /** `--read-buffer-size`. */
  readonly readBufferBytes: number;
  readonly maxConnections: number;
  handle(incoming: IncomingMessage, response: ServerResponse): void;
  /** Answers a request on a connection beyond `maxConnections`, which ends with it. */
  refuse(incoming: IncomingMessage, response: ServerResponse): void;
}

/** Go grants this much on top of the setting, and clients rely on it. */
const HEADER_SLACK_BYTES = 4096;
/** Time a client has to send its request head: the second while there is room, since a busy machine makes slow clients. */
const HEADER_TIMEOUT_MS = { crowded: 10_000, roomy: 60_000 };
const SWEEP_MS = 5000;
/** Connections beyond the bound that get an answer; what comes on top of them is not accepted. */
const REFUSED_CONNECTIONS = 256;
/** Connections that wait to be accepted; the system's own bound applies, too. */
const BACKLOG = 4096;
/** Idle connections are kept this long; SDK pools drop theirs earlier. */
const IDLE_TIMEOUT_MS = 120_000;

/** What the HTTP/1 server listens to on a socket; `end` has a listener of the socket's own, and `close` may stay. */
const HTTP1_EVENTS = ['data', 'end', 'drain', 'error', 'timeout', 'pause', 'resume'] as const;
const OWN_LISTENERS: ReadonlySet<unknown> = new Set(new Socket().listeners('end'));

/** What node:http says of a request that it cannot parse. */
interface ParseFault extends Error {
  readonly code?: string;
  readonly rawPacket?: Buffer;
  /** Bytes of `rawPacket` before the fault. */
  readonly bytesParsed?: number;
}

const isPreface = (bytes: Buffer): boolean => bytes.subarray(0, PREFACE.byteLength).equals(PREFACE);

/** A socket that serves the API. */
export class Listener {
  readonly #options: ListenerOptions;
  readonly #http1: Server;
  readonly #http2: Http2Server | undefined;
  readonly #sessions = new Set<ServerHttp2Session>();
  /** Connections without a request so far, and since when. */
  readonly #silent = new Map<Duplex, number>();
  readonly #open = new Set<Duplex>();
  /** Those of them that came when there were enough. */
  readonly #refused = new Set<Duplex>();
  readonly #refusedSessions = new WeakSet<object>();
  #handedOver: Socket | undefined;
  #sweep: Timer | undefined;

  constructor(options: ListenerOptions) {
    this.#options = options;
    const maxHeaderSize = options.readBufferBytes + HEADER_SLACK_BYTES;
    this.#http1 = createServer({
      maxHeaderSize,
      headersTimeout: HEADER_TIMEOUT_MS.roomy,
      connectionsCheckingInterval: SWEEP_MS,
      requestTimeout: 0,
      keepAliveTimeout: IDLE_TIMEOUT_MS,
      noDelay: true,
      shouldUpgradeCallback: (request) =>
        options.h2c && !this.#refused.has(request.socket) && wantsH2c(request),
    });
    this.#http1.maxConnections = options.maxConnections + REFUSED_CONNECTIONS;
    this.#http1.on('connection', (socket) => this.#watch(socket));
    this.#http1.on('request', (request, response) => {
      this.#silent.delete(request.socket);
      this.#serve(request, response, request.socket);
    });
    this.#http1.on('clientError', (error: ParseFault, socket) => {
      this.#silent.delete(socket);
      const bytes = this.#taken(error, socket);
      if (bytes === undefined) refuseMalformed(error, socket);
      else this.#begin(socket as Socket, bytes);
    });
    if (options.h2c) this.#http2 = this.#createHttp2(maxHeaderSize);
  }

  /** Lets a connection begin anew; what is refused stays refused. */
  #begin(socket: Socket, bytes: Buffer): void {
    this.#handedOver = socket;
    handOver(socket, bytes, isPreface(bytes) ? this.#http2 : this.#http1);
    this.#handedOver = undefined;
  }

  /** The bytes with which a connection that the HTTP/1 parser gave up begins anew; `undefined`: there is nothing to begin. */
  #taken({ code, rawPacket, bytesParsed = 0 }: ParseFault, socket: Duplex): Buffer | undefined {
    if (code === 'HPE_PAUSED_H2_UPGRADE' && this.#http2 !== undefined)
      return Buffer.concat([PREFACE, rawPacket?.subarray(bytesParsed) ?? Buffer.alloc(0)]);
    if (code !== 'HPE_INVALID_URL' || rawPacket === undefined || answerOf(socket) != null) return undefined;
    return escapeTarget(rawPacket, bytesParsed);
  }

  #createHttp2(maxHeaderListSize: number): Http2Server {
    const server = createHttp2Server({ settings: { maxHeaderListSize }, maxSettings: 64 });
    // The compatibility objects have what the service uses of the HTTP/1 ones.
    server.on('request', (request, response) =>
      this.#serve(
        request as unknown as IncomingMessage,
        response as unknown as ServerResponse,
        request.stream.session ?? request,
      ),
    );
    server.on('session', (session) => {
      this.#sessions.add(session);
      if (this.#handedOver !== undefined && this.#refused.has(this.#handedOver))
        this.#refusedSessions.add(session);
      session.on('close', () => this.#sessions.delete(session));
      endWhenIdle(session);
    });
    // A broken session has no one else to tell.
    server.on('sessionError', () => {});
    this.#http1.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
      this.#silent.delete(socket);
      server.emit('connection', upgradeToH2c(request, socket, head));
    });
    return server;
  }

  #serve(request: IncomingMessage, response: ServerResponse, connection: object): void {
    if (
      this.#refused.size > 0 &&
      (this.#refused.has(connection as Socket) || this.#refusedSessions.has(connection))
    )
      this.#options.refuse(request, response);
    else this.#options.handle(request, response);
  }

  /** Drops a connection that sends no request; one timer looks after all of them. */
  #watch(socket: Socket): void {
    const { clock, maxConnections } = this.#options;
    // A connection that begins anew with other bytes comes here again.
    if (!this.#open.has(socket)) {
      if (this.#open.size - this.#refused.size >= maxConnections) this.#refused.add(socket);
      this.#open.add(socket);
      socket.on('close', () => {
        this.#open.delete(socket);
        this.#refused.delete(socket);
        this.#silent.delete(socket);
      });
    }
    this.#silent.set(socket, clock.monotonicMs());
    this.#sweep ??= clock.startTimer(SWEEP_MS, () => this.#dropSilent(), true);
  }

  /** What clients may take for a request head; the parser looks at it, too. */
  #headerLimitMs(): number {
    const crowded = this.#open.size > this.#options.maxConnections / 2;
    this.#http1.headersTimeout = crowded ? HEADER_TIMEOUT_MS.crowded : HEADER_TIMEOUT_MS.roomy;
    return this.#http1.headersTimeout;
  }

  #dropSilent(): void {
    const { clock } = this.#options;
    this.#sweep = undefined;
    const latest = clock.monotonicMs() - this.#headerLimitMs();
    const due = [...this.#silent].filter(([, since]) => since <= latest);
    // What they sent may lie there unread because this process was busy: it is read before anybody is dropped.
    setImmediate(() => {
      for (const [socket] of due) if (this.#silent.has(socket)) socket.destroy();
    });
    if (this.#silent.size > 0) this.#sweep = clock.startTimer(SWEEP_MS, () => this.#dropSilent(), true);
  }

  listen(options: ListenOptions): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#http1.once('error', reject);
      this.#http1.listen({ backlog: BACKLOG, ...options }, () => {
        this.#http1.off('error', reject);
        this.#http1.on('error', () => {});
        resolve();
      });
    });
  }

  /** Port in use; 0 for a Unix socket. */
  get port(): number {
    const address = this.#http1.address() as AddressInfo | string | null;
    return address === null || typeof address === 'string' ? 0 : address.port;
  }

  /** Stops accepting and lets go of connections without a request; those with one end when it is answered. */
  stop(): void {
    if (this.#http1.listening) this.#http1.close();
    this.#http1.closeIdleConnections();
    for (const socket of this.#silent.keys()) socket.destroy();
    for (const session of this.#sessions) session.close();
  }

  /** Ends every connection. */
  destroy(): void {
    this.#sweep?.cancel();
    this.#http1.closeAllConnections();
    for (const session of this.#sessions) session.destroy();
  }
}

/** As with HTTP/1: a connection without a request in progress is kept for a while only, from its first moment on. */
function endWhenIdle(session: ServerHttp2Session): void {
  let streams = 0;
  session.on('stream', (stream) => {
    streams += 1;
    stream.once('close', () => {
      streams -= 1;
    });
  });
  session.setTimeout(IDLE_TIMEOUT_MS, () => {
    if (streams === 0) session.destroy();
  });
}

/** Takes a connection from the HTTP/1 server, which has read the preface, to a server that begins with these bytes. */
function handOver(socket: Socket, bytes: Buffer, server: Server | Http2Server | undefined): void {
  // A listener for data makes the HTTP/1 parser let go of the handle.
  const letGo = (): void => {};
  socket.on('data', letGo);
  socket.off('data', letGo);
  for (const event of HTTP1_EVENTS) {
    for (const listener of socket.listeners(event)) {
      if (!OWN_LISTENERS.has(listener)) socket.off(event, listener as () => void);
    }
  }
  // Off the list of connections that the HTTP/1 server ends when they are idle or slow.
  (socket as { parser?: { remove?(): void } }).parser?.remove?.();
  socket.pause();
  socket.unshift(bytes);
  server?.emit('connection', socket);
  // The HTTP/2 session reads by itself.
  if (!isPreface(bytes)) socket.resume();
}

/** The answer that a connection is busy with; `_last` ends the connection after it. */
type AnswerInProgress = Pick<ServerResponse, 'req' | 'headersSent'> & { _last: boolean };

const answerOf = (socket: Duplex): AnswerInProgress | null | undefined =>
  (socket as { _httpMessage?: AnswerInProgress | null })._httpMessage;

/** Answers what the parser refused, in the words of Go's server. */
function refuseMalformed(error: ParseFault, socket: Duplex): void {
  if (!socket.writable || error.code === 'ECONNRESET') {
    socket.destroy();
    return;
  }
  const answer = answerOf(socket);
  if (answer?.req.complete === true) {
    // An earlier request is being answered: nothing may come in between, and nothing after.
    answer._last = true;
    return;
  }
  if (answer?.headersSent === true) {
    (socket as Socket).destroySoon();
    return;
  }
  const text =
    error.code === 'HPE_HEADER_OVERFLOW'
      ? '431 Request Header Fields Too Large'
      : error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
        ? '408 Request Timeout'
        : '400 Bad Request';
  socket.end(
    `HTTP/1.1 ${text}\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n${text}`,
  );
}

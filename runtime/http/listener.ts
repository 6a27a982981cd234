/**
 * One listening socket of the API: HTTP/1.1, and on the same port cleartext HTTP/2 by prior knowledge and by upgrade
 * (Dapr HTTP reference, section 2.1). The first bytes of a connection decide; no HTTP/1 request begins with `PRI`.
 */

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createHttp2Server, type Http2Server, type ServerHttp2Session } from 'node:http2';
import type { AddressInfo, ListenOptions, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Clock } from '../contracts/clock.ts';
import { PREFACE, upgradeToH2c, wantsH2c } from './h2c-upgrade.ts';

export interface ListenerOptions {
  readonly clock: Clock;
  readonly h2c: boolean;
  /** `--read-buffer-size`. */
  readonly readBufferBytes: number;
  readonly maxConnections: number;
  handle(incoming: IncomingMessage, response: ServerResponse): void;
}

/** Go grants this much on top of the setting, and clients rely on it. */
const HEADER_SLACK_BYTES = 4096;
/** Time a client has to send its request head. */
const HEADER_TIMEOUT_MS = 10_000;
/** Idle connections are kept this long; SDK pools drop theirs earlier. */
const IDLE_TIMEOUT_MS = 120_000;

/** A socket that serves the API. */
export class Listener {
  readonly #options: ListenerOptions;
  readonly #http1: Server;
  readonly #http2: Http2Server | undefined;
  readonly #sessions = new Set<ServerHttp2Session>();
  readonly #undecided = new Set<Socket>();

  constructor(options: ListenerOptions) {
    this.#options = options;
    const maxHeaderSize = options.readBufferBytes + HEADER_SLACK_BYTES;
    this.#http1 = createServer({
      maxHeaderSize,
      headersTimeout: HEADER_TIMEOUT_MS,
      connectionsCheckingInterval: 5000,
      requestTimeout: 0,
      keepAliveTimeout: IDLE_TIMEOUT_MS,
      noDelay: true,
      shouldUpgradeCallback: (request) => options.h2c && wantsH2c(request),
    });
    this.#http1.maxConnections = options.maxConnections;
    this.#http1.on('request', options.handle);
    this.#http1.on('clientError', refuseMalformed);
    if (options.h2c) {
      this.#http2 = this.#createHttp2(maxHeaderSize);
      this.#chooseProtocol(this.#http2);
    }
  }

  #createHttp2(maxHeaderListSize: number): Http2Server {
    const server = createHttp2Server({ settings: { maxHeaderListSize }, maxSettings: 64 });
    // The compatibility objects have what the service uses of the HTTP/1 ones.
    server.on('request', (request, response) =>
      this.#options.handle(request as unknown as IncomingMessage, response as unknown as ServerResponse),
    );
    server.on('session', (session) => {
      this.#sessions.add(session);
      session.on('close', () => this.#sessions.delete(session));
    });
    // A broken session has no one else to tell.
    server.on('sessionError', () => {});
    this.#http1.on(
      'upgrade',
      (request: IncomingMessage, socket: Duplex, head: Buffer) =>
        void server.emit('connection', upgradeToH2c(request, socket, head)),
    );
    return server;
  }

  /** Puts a look at the first bytes before the server's own handling of a connection. */
  #chooseProtocol(http2: Http2Server): void {
    const [serveHttp1] = this.#http1.listeners('connection') as ((socket: Socket) => void)[];
    this.#http1.removeAllListeners('connection');
    this.#http1.on('connection', (socket: Socket) => {
      this.#undecided.add(socket);
      const fail = (): void => void socket.destroy();
      const timer = this.#options.clock.startTimer(HEADER_TIMEOUT_MS, fail, true);
      const look = (): void => {
        const chunk = socket.read() as Buffer | null;
        if (chunk === null) return;
        socket.unshift(chunk);
        const known = Math.min(chunk.byteLength, PREFACE.byteLength);
        const isHttp2 = chunk.subarray(0, known).equals(PREFACE.subarray(0, known));
        if (isHttp2 && known < 3) return;
        socket.off('readable', look);
        settle();
        if (isHttp2) http2.emit('connection', socket);
        else serveHttp1?.call(this.#http1, socket);
      };
      const settle = (): void => {
        timer.cancel();
        this.#undecided.delete(socket);
        socket.off('error', fail);
        socket.off('end', fail);
        socket.off('close', settle);
      };
      socket.on('readable', look);
      socket.on('error', fail);
      socket.on('end', fail);
      socket.on('close', settle);
    });
  }

  listen(options: ListenOptions): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#http1.once('error', reject);
      this.#http1.listen(options, () => {
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
    for (const socket of this.#undecided) socket.destroy();
    for (const session of this.#sessions) session.close();
  }

  /** Ends every connection. */
  destroy(): void {
    this.#http1.closeAllConnections();
    for (const session of this.#sessions) session.destroy();
  }
}

/** Answers what the parser refused, in the words of Go's server. */
function refuseMalformed(error: Error & { readonly code?: string }, socket: Duplex): void {
  if (!socket.writable || error.code === 'ECONNRESET') {
    socket.destroy();
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

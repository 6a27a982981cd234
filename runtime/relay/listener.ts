/**
 * The relay's port: TLS 1.3, links of enrolled nodes and HTTPS for nodes that are about to enrol, told apart by ALPN. Strangers
 * get a handshake, one short request, and time limits; they cost the links nothing.
 */

import { constants, type KeyObject } from 'node:crypto';
import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { createServer, type TLSSocket } from 'node:tls';
import type { Clock } from '../contracts/clock.ts';
import { errorText } from '../contracts/error.ts';
import type { Logger } from '../contracts/logger.ts';
import { LINK_ALPN } from './protocol.ts';

export interface ServerCredentials {
  /** PEM, own certificate first. */
  readonly cert: string;
  readonly key: string | KeyObject;
}

export interface RelayListenerOptions {
  readonly host: string;
  readonly port: number;
  /** The authority of nodes in PEM. */
  readonly authority: string;
  credentials(): ServerCredentials;
  readonly maxConnections: number;
  readonly clock: Clock;
  readonly log: Logger;
  /** A connection that asks to be a link; its certificate is for the taker to judge. */
  link(socket: TLSSocket): Promise<void>;
  /** A short JSON request; resolves with status and answer. */
  request(path: string, body: unknown): Promise<{ readonly status: number; readonly answer: object }>;
}

export interface RelayListener {
  listen(): Promise<number>;
  /** Shows new credentials to new connections. */
  renew(): void;
  close(): Promise<void>;
}

/** After an outage all nodes shake hands at once. */
const HANDSHAKE_LIMIT_MS = 30_000;
const REQUEST_LIMIT_MS = 10_000;
const MAX_BODY_BYTES = 16 * 1024;
const REFUSAL_LOG_MS = 1000;

export function createRelayListener(options: RelayListenerOptions): RelayListener {
  const { clock, log } = options;
  const credentials = () => {
    const { cert, key } = options.credentials();
    return {
      cert,
      key: typeof key === 'string' ? key : String(key.export({ type: 'pkcs8', format: 'pem' })),
      ca: options.authority,
      minVersion: 'TLSv1.3' as const,
      secureOptions: constants.SSL_OP_NO_TICKET,
    };
  };
  const refused = createRefusalLog(clock, log);
  const http = createHttpServer({
    headersTimeout: REQUEST_LIMIT_MS,
    requestTimeout: REQUEST_LIMIT_MS,
    keepAliveTimeout: 1000,
    maxHeaderSize: 4096,
  });
  http.on('request', (request, response) => void answer(request, response, options));
  const server = createServer({
    ...credentials(),
    requestCert: true,
    // Judged by the taker: a node may renew what has expired, and a node about to enrol has none.
    rejectUnauthorized: false,
    handshakeTimeout: HANDSHAKE_LIMIT_MS,
    ALPNProtocols: [LINK_ALPN, 'http/1.1'],
  });
  const sockets = new Set<Socket>();
  server.maxConnections = options.maxConnections;
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  server.on('tlsClientError', (error, socket) => refused(socket.remoteAddress, errorText(error)));
  server.on('secureConnection', (socket) => {
    socket.on('error', (error) => log.debug('relay connection error', { error }));
    if (socket.alpnProtocol !== LINK_ALPN) {
      http.emit('connection', socket);
      return;
    }
    socket.setNoDelay(true);
    options.link(socket).catch((cause: unknown) => {
      refused(socket.remoteAddress, errorText(cause));
      socket.destroy();
    });
  });

  return {
    listen: () =>
      new Promise((resolve, reject) => {
        server.once('error', reject);
        server.listen({ host: options.host, port: options.port }, () => {
          server.off('error', reject);
          server.on('error', (error) => log.error(`relay listener: ${errorText(error)}`));
          resolve((server.address() as AddressInfo).port);
        });
      }),
    renew: () => server.setSecureContext(credentials()),
    close: async () => {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const socket of sockets) socket.destroy();
      http.close();
      await closed;
    },
  };
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  options: RelayListenerOptions,
): Promise<void> {
  const reply = (status: number, body: object): void => {
    const text = `${JSON.stringify(body)}\n`;
    response.writeHead(status, {
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(text),
      connection: 'close',
    });
    response.end(text);
  };
  try {
    if (request.method !== 'POST') {
      reply(404, { error: 'this is a Skerry relay: nodes enrol with POST /v1/enroll' });
      return;
    }
    const parts: Buffer[] = [];
    let length = 0;
    for await (const part of request as AsyncIterable<Buffer>) {
      length += part.length;
      if (length > MAX_BODY_BYTES) {
        reply(413, { error: `the request is larger than ${MAX_BODY_BYTES} bytes` });
        return;
      }
      parts.push(part);
    }
    const done = await options.request(request.url ?? '/', parse(Buffer.concat(parts).toString()));
    reply(done.status, done.answer);
  } catch (cause) {
    options.log.debug('relay request failed', { error: cause });
    if (!response.headersSent) reply(500, { error: 'internal error' });
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Strangers may knock as often as they like; the log hears of it once in this time. */
export function createRefusalLog(
  clock: Clock,
  log: Logger,
): (from: string | undefined, reason: string) => void {
  let nextMs = 0;
  let untold = 0;
  return (from, reason) => {
    if (clock.monotonicMs() < nextMs) {
      untold += 1;
      return;
    }
    nextMs = clock.monotonicMs() + REFUSAL_LOG_MS;
    const more = untold === 0 ? '' : ` (and ${untold} more since the last line)`;
    untold = 0;
    log.warn(`refused a connection${from === undefined ? '' : ` from ${from}`}: ${reason}${more}`);
  };
}

/**
 * The HTTP/2 server of a mesh: TLS 1.3, a client certificate of the trust anchors demanded of everybody. New credentials
 * take effect for new connections; no session is resumed, so that nobody outlives its certificate by a ticket.
 */

import { constants } from 'node:crypto';
import { createSecureServer, type Http2SecureServer, type SecureServerOptions } from 'node:http2';
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { Clock } from '../contracts/clock.ts';
import { errorText } from '../contracts/error.ts';
import type { Logger } from '../contracts/logger.ts';
import type { ServerTls } from '../contracts/mesh-security.ts';
import { type SpiffeId, spiffeIdOfCertificate } from '../contracts/spiffe.ts';

export interface TlsServerOptions {
  readonly tls: ServerTls;
  readonly http2: SecureServerOptions;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface TlsServer {
  readonly server: Http2SecureServer;
  /** Breaks every connection, those in their handshake included. */
  destroyAll(): void;
}

const HANDSHAKE_TIMEOUT_MS = 10_000;
/** Strangers may knock as often as they like; the log hears of it once in this time. */
const REFUSAL_LOG_MS = 1000;

export function createTlsServer({ tls, http2, clock, log }: TlsServerOptions): TlsServer {
  const credentials = () => ({ ...tls.credentials(), secureOptions: constants.SSL_OP_NO_TICKET });
  const server = createSecureServer({
    ...http2,
    ...credentials(),
    requestCert: true,
    rejectUnauthorized: true,
    handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
  });
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  server.on('tlsClientError', createRefusalLog(clock, log));
  const end = tls.onChange(() => server.setSecureContext(credentials()));
  server.once('close', end);
  return {
    server,
    destroyAll: () => {
      for (const socket of sockets) socket.destroy();
    },
  };
}

function createRefusalLog(clock: Clock, log: Logger): (error: Error, socket: TLSSocket) => void {
  let nextMs = 0;
  let untold = 0;
  return (error, socket) => {
    if (clock.monotonicMs() < nextMs) {
      untold += 1;
      return;
    }
    nextMs = clock.monotonicMs() + REFUSAL_LOG_MS;
    const reason = socket.authorizationError ?? opensslReason(error) ?? errorText(error);
    const more = untold === 0 ? '' : ` (and ${untold} more since the last line)`;
    untold = 0;
    // A socket that the TLS layer has closed already does not know its other end any more.
    const from = socket.remoteAddress === undefined ? '' : ` from ${socket.remoteAddress}`;
    log.warn(`refused a connection${from}: ${reason}${more}`);
  };
}

/** `peer did not return a certificate` rather than where in OpenSSL that was noticed. */
function opensslReason(error: Error): string | undefined {
  return 'reason' in error && typeof error.reason === 'string' ? error.reason : undefined;
}

/** The SPIFFE id of the client at the other end; throws when its certificate has none. */
export function clientIdOf(socket: TLSSocket): SpiffeId {
  const certificate = socket.getPeerX509Certificate();
  if (certificate === undefined || !socket.authorized)
    throw new Error('the client shows no certificate that is trusted');
  return spiffeIdOfCertificate(certificate);
}

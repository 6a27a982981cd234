/** Connections to outside hosts: one transport per origin and TLS identity, the least recently used one gives way. */

import type { ExternalTarget } from '../building-blocks/invoke/external-http.ts';
import type { Clock } from '../contracts/clock.ts';
import { createHttp1Transport } from '../http-client/http1-transport.ts';
import type { DialLimit, HttpTransport, Origin, TransportTls } from '../http-client/transport.ts';

const MAX_TRANSPORTS = 256;
/** Connecting and handshake (resources reference, section 9). */
const DIAL_LIMIT_MS = 15_000;
type Tls = ExternalTarget['tls'];

export interface ExternalTransports {
  transport(url: URL, tls: Tls): HttpTransport;
  close(): void;
}

/** An empty set of connections. */
export function createExternalTransports(clock?: Clock): ExternalTransports {
  const dialLimit = clock === undefined ? undefined : { ms: DIAL_LIMIT_MS, clock };
  const transports = new Map<string, HttpTransport>();

  const makeRoom = (): void => {
    const [oldest] = transports.keys();
    if (oldest === undefined || transports.size < MAX_TRANSPORTS) return;
    transports.get(oldest)?.close();
    transports.delete(oldest);
  };

  return {
    transport(url, tls) {
      const key = keyOf(url, tls);
      const known = transports.get(key);
      if (known === undefined) makeRoom();
      else transports.delete(key);
      const transport = known ?? createHttp1Transport(originOf(url, tls, dialLimit));
      transports.set(key, transport);
      return transport;
    },
    close() {
      for (const transport of transports.values()) transport.close();
      transports.clear();
    },
  };
}

function keyOf(url: URL, tls: Tls): string {
  return tls === undefined
    ? url.origin
    : JSON.stringify([url.origin, tls.rootCa, tls.certificate, tls.privateKey]);
}

/** Host, port and TLS settings behind a URL. */
export function originOf(url: URL, tls?: Tls, dialLimit?: DialLimit): Origin {
  const secure = url.protocol === 'https:';
  const port = url.port === '' ? (secure ? 443 : 80) : Number(url.port);
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const origin: Origin =
    dialLimit === undefined ? { host, port } : { host, port, dialLimit, clock: dialLimit.clock };
  return secure ? { ...origin, tls: tlsOf(tls) } : origin;
}

function tlsOf(tls: Tls): TransportTls {
  return {
    verify: true,
    ...(tls?.rootCa === undefined ? {} : { ca: tls.rootCa }),
    ...(tls?.certificate === undefined ? {} : { cert: tls.certificate }),
    ...(tls?.privateKey === undefined ? {} : { key: tls.privateKey }),
  };
}

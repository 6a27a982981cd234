/**
 * A small HTTP client seen from the callers' side: raw target and header list out, raw header list and a body back.
 * One transport serves one origin and keeps its connections open. The app channel and calls to outside hosts share it.
 */

import type { Body } from '../contracts/app-channel.ts';
import type { Clock } from '../contracts/clock.ts';

export interface TransportRequest {
  readonly verb: string;
  /** Origin form with query, sent byte for byte. */
  readonly path: string;
  /** Flat list of names and values, without `Host` and without framing headers. */
  readonly headers: readonly string[];
  readonly body: Body;
}

export interface TransportResponse {
  readonly status: number;
  /** Flat list of names and values as received. */
  readonly headers: readonly string[];
  /** Short bodies of known length are complete; all others stream. */
  readonly body: Body;
}

export interface HttpTransport {
  /**
   * Sends one request. Rejects with the cause when no response head arrives, with the signal's reason on abort.
   * `settled` is called exactly once, when the exchange (response body included) is over.
   */
  send(request: TransportRequest, signal: AbortSignal, settled?: () => void): Promise<TransportResponse>;
  /** Gives up idle connections; those in use end with their exchange. */
  close(): void;
}

export interface TransportTls {
  readonly verify: boolean;
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
}

/** Where a transport connects to. */
export interface Origin {
  readonly host: string;
  readonly port: number;
  readonly tls?: TransportTls;
  /** How long connecting (handshake included) may take; absent: as long as the system tries. */
  readonly dialLimit?: DialLimit;
  /** Tells how long kept connections were idle; absent: only their timers do. */
  readonly clock?: Pick<Clock, 'monotonicMs'>;
}

export interface DialLimit {
  readonly ms: number;
  readonly clock: Pick<Clock, 'startTimer' | 'monotonicMs'>;
}

/** `host:port` as it stands in a URL or `Host` header; the scheme's own port is left out when `short`. */
export function authority(origin: Origin, short = false): string {
  const host = origin.host.includes(':') ? `[${origin.host}]` : origin.host;
  const standard = origin.tls === undefined ? 80 : 443;
  return short && origin.port === standard ? host : `${host}:${origin.port}`;
}

/** Characters that would end or corrupt a header line. */
const CONTROL = /[^\t\x20-\x7e\x80-\xff]/g;
const UNSAFE = /[^\t\x20-\x7e\x80-\xff]/;

/** A header value that HTTP/1 can carry: text beyond Latin-1 as its UTF-8 bytes, control characters as spaces. */
export function headerText(value: string): string {
  if (!UNSAFE.test(value)) return value;
  return Buffer.from(value, 'utf8').toString('latin1').replace(CONTROL, ' ');
}

const PLAIN_TEXT = /^[\t\x20-\x7e]*$/;

/** A text of our own (not bytes that came in as a header) as HTTP/1 carries it: always its UTF-8 bytes. */
export function textHeader(value: string): string {
  return PLAIN_TEXT.test(value) ? value : headerText(Buffer.from(value, 'utf8').toString('latin1'));
}

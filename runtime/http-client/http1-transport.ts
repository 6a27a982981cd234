/**
 * HTTP/1.1 (with or without TLS) on node:http. The header list goes out as it is, in order and case: node:http takes
 * it as a flat array and adds nothing to it, so `Host` and the framing header are put in here. Redirects are not followed.
 */

import {
  Agent,
  type ClientRequest,
  request as httpRequest,
  type IncomingMessage,
  type RequestOptions,
} from 'node:http';
import { request as httpsRequest, Agent as TlsAgent } from 'node:https';
import { IDLE_MS, watchConnections } from './connection-pool.ts';
import { flatHeader, pumpBody, receiveBody } from './exchange.ts';
import {
  authority,
  type DialLimit,
  type HttpTransport,
  type Origin,
  type TransportRequest,
  type TransportResponse,
} from './transport.ts';

const MAX_IDLE = 256;
/** Connections at once, as in daprd; what comes on top waits for one of them, and is bounded where calls come in. */
const MAX_CONNECTIONS = 1024;
const MAX_HEADER_BYTES = 256 * 1024;

/** Makes the transport of one HTTP/1.1 origin. */
export function createHttp1Transport(origin: Origin): HttpTransport {
  const settings = {
    keepAlive: true,
    maxSockets: MAX_CONNECTIONS,
    maxFreeSockets: MAX_IDLE,
    scheduling: 'lifo' as const,
    timeout: IDLE_MS,
  };
  const { tls } = origin;
  const agent =
    tls === undefined
      ? new Agent(settings)
      : new TlsAgent({
          ...settings,
          rejectUnauthorized: tls.verify,
          minVersion: 'TLSv1.2',
          ...(tls.ca === undefined ? {} : { ca: tls.ca }),
          ...(tls.cert === undefined ? {} : { cert: tls.cert }),
          ...(tls.key === undefined ? {} : { key: tls.key }),
        });
  const open = tls === undefined ? httpRequest : httpsRequest;
  const host = authority(origin, true);
  const pool = watchConnections(agent, origin.clock);

  /** Sends a request; `again` is called in place of `failed` when a kept connection turned out to be closed. */
  const exchange = (
    request: TransportRequest,
    signal: AbortSignal,
    answered: (response: TransportResponse) => void,
    failed: (cause: Error) => void,
    closed: () => void,
    again: (() => void) | undefined,
  ): void => {
    const options: RequestOptions = {
      agent,
      host: origin.host,
      port: origin.port,
      method: request.verb,
      path: request.path,
      headers: requestHeaders(request, host),
      maxHeaderSize: MAX_HEADER_BYTES,
    };
    pool.dropStale();
    const outgoing = open(options);
    let heard = false;
    let repeated = false;
    const abort = (): void => void outgoing.destroy(signal.reason as Error);
    signal.addEventListener('abort', abort);
    outgoing.on('error', (cause: NodeJS.ErrnoException) => {
      const { socket } = outgoing;
      repeated =
        again !== undefined &&
        !heard &&
        !signal.aborted &&
        socket !== null &&
        pool.used(socket) &&
        isClosed(cause);
      if (!repeated) failed(cause);
    });
    if (origin.dialLimit !== undefined) limitDial(outgoing, tls !== undefined, origin.dialLimit);
    outgoing.on('close', () => {
      signal.removeEventListener('abort', abort);
      if (!repeated) return closed();
      pool.dropIdle();
      again?.();
    });
    outgoing.on('response', (response: IncomingMessage) => {
      heard = true;
      const status = response.statusCode ?? 0;
      const headers = response.rawHeaders;
      receiveBody(
        response,
        request.verb,
        status,
        headers,
        (body) => answered({ status, headers, body }),
        failed,
      );
    });
    const { bytes, length } = request.body;
    if (bytes !== undefined) outgoing.end(bytes);
    else if (length === 0) outgoing.end();
    else void pumpBody(request.body.stream(), outgoing);
  };

  return {
    send(request, signal, settled) {
      return new Promise<TransportResponse>((resolve, reject) => {
        const closed = (): void => settled?.();
        const attempt = (again?: () => void): void => {
          try {
            signal.throwIfAborted();
            exchange(request, signal, resolve, reject, closed, again);
          } catch (cause) {
            closed();
            reject(cause as Error);
          }
        };
        attempt(mayRepeat(request) ? () => attempt() : undefined);
      });
    },
    close: () => agent.destroy(),
  };
}

const IDEMPOTENT = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE']);

/** Whether a request that met a closed connection may be sent once more, as Go's client does (RFC 9110, section 9.2.2). */
function mayRepeat({ verb, headers, body }: TransportRequest): boolean {
  if (body.bytes === undefined) return false;
  return IDEMPOTENT.has(verb) || flatHeader(headers, 'idempotency-key') !== undefined;
}

function isClosed({ code }: NodeJS.ErrnoException): boolean {
  return code === 'ECONNRESET' || code === 'EPIPE';
}

/** Fails a request whose new connection does not come about in time; a kept one has nothing to wait for. */
function limitDial(outgoing: ClientRequest, tls: boolean, limit: DialLimit): void {
  outgoing.on('socket', (socket) => {
    if (!socket.connecting) return;
    const timer = limit.clock.startTimer(
      limit.ms,
      () =>
        outgoing.destroy(Object.assign(new Error('i/o timeout'), { code: 'ETIMEDOUT', syscall: 'connect' })),
      true,
    );
    const done = (): void => timer.cancel();
    socket.once(tls ? 'secureConnect' : 'connect', done);
    socket.once('close', done);
  });
}

const MAY_HAVE_BODY = new Set(['POST', 'PUT', 'PATCH']);

function requestHeaders(request: TransportRequest, host: string): string[] {
  const headers = ['Host', host, ...request.headers];
  const length = request.body.bytes?.byteLength ?? request.body.length;
  if (length === undefined) headers.push('Transfer-Encoding', 'chunked');
  else if (length > 0 || MAY_HAVE_BODY.has(request.verb)) headers.push('Content-Length', String(length));
  return headers;
}

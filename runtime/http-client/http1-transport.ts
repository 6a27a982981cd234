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
import { pumpBody, receiveBody } from './exchange.ts';
import {
  authority,
  type DialLimit,
  type HttpTransport,
  type Origin,
  type TransportRequest,
  type TransportResponse,
} from './transport.ts';

/** Idle connections are dropped before common servers (5 s) drop them, so that no request meets a closing one. */
const IDLE_MS = 4000;
const MAX_IDLE = 256;
/** Connections at once, as in daprd; what comes on top waits for one of them, and is bounded where calls come in. */
const MAX_CONNECTIONS = 1024;
const MAX_HEADER_BYTES = 256 * 1024;

/** Makes the transport of one HTTP/1.1 origin. */
export function createHttp1Transport(origin: Origin): HttpTransport {
  const pool = {
    keepAlive: true,
    maxSockets: MAX_CONNECTIONS,
    maxFreeSockets: MAX_IDLE,
    scheduling: 'lifo' as const,
    timeout: IDLE_MS,
  };
  const { tls } = origin;
  const agent =
    tls === undefined
      ? new Agent(pool)
      : new TlsAgent({
          ...pool,
          rejectUnauthorized: tls.verify,
          minVersion: 'TLSv1.2',
          ...(tls.ca === undefined ? {} : { ca: tls.ca }),
          ...(tls.cert === undefined ? {} : { cert: tls.cert }),
          ...(tls.key === undefined ? {} : { key: tls.key }),
        });
  const open = tls === undefined ? httpRequest : httpsRequest;
  const host = authority(origin, true);
  return {
    send(request, signal, settled) {
      return new Promise<TransportResponse>((resolve, reject) => {
        let outgoing: ClientRequest;
        try {
          signal.throwIfAborted();
          const options: RequestOptions = {
            agent,
            host: origin.host,
            port: origin.port,
            method: request.verb,
            path: request.path,
            headers: requestHeaders(request, host),
            maxHeaderSize: MAX_HEADER_BYTES,
          };
          outgoing = open(options);
        } catch (cause) {
          settled?.();
          reject(cause as Error);
          return;
        }
        const abort = (): void => void outgoing.destroy(signal.reason as Error);
        signal.addEventListener('abort', abort);
        outgoing.on('error', reject);
        if (origin.dialLimit !== undefined) limitDial(outgoing, tls !== undefined, origin.dialLimit);
        outgoing.on('close', () => {
          signal.removeEventListener('abort', abort);
          settled?.();
        });
        outgoing.on('response', (response: IncomingMessage) => {
          const status = response.statusCode ?? 0;
          const headers = response.rawHeaders;
          receiveBody(
            response,
            request.verb,
            status,
            headers,
            (body) => resolve({ status, headers, body }),
            reject,
          );
        });
        const { bytes, length } = request.body;
        if (bytes !== undefined) outgoing.end(bytes);
        else if (length === 0) outgoing.end();
        else void pumpBody(request.body.stream(), outgoing);
      });
    },
    close: () => agent.destroy(),
  };
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

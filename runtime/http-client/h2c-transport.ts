/** Cleartext HTTP/2 with prior knowledge on node:http2: one session per origin, made again when it ended. */

import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  constants,
  type OutgoingHttpHeaders,
} from 'node:http2';
import { pumpBody, receiveBody } from './exchange.ts';
import {
  authority,
  type HttpTransport,
  type Origin,
  type TransportRequest,
  type TransportResponse,
} from './transport.ts';

const WINDOW_BYTES = 1024 * 1024;

/** Makes the transport of one h2c origin. */
export function createH2cTransport(origin: Origin): HttpTransport {
  const address = authority(origin);
  let session: ClientHttp2Session | undefined;
  const current = (): ClientHttp2Session => {
    if (session !== undefined && !session.closed && !session.destroyed) return session;
    const made = connect(`http://${address}`, {
      settings: { enablePush: false, initialWindowSize: WINDOW_BYTES },
    });
    // The error of a broken session reaches every stream of it; a session without streams has nobody to tell.
    made.on('error', () => {});
    made.on('close', () => {
      if (session === made) session = undefined;
    });
    made.unref();
    session = made;
    return made;
  };
  return {
    send(request, signal, settled) {
      const { bytes, length } = request.body;
      const empty = (bytes?.byteLength ?? length) === 0;
      return new Promise<TransportResponse>((resolve, reject) => {
        let stream: ClientHttp2Stream;
        try {
          signal.throwIfAborted();
          // Left to itself, node:http2 ends a GET, HEAD or DELETE with its head, and one with a body fails.
          stream = current().request(requestHeaders(request, address), { endStream: empty });
        } catch (cause) {
          settled?.();
          reject(cause as Error);
          return;
        }
        const fail = (cause: Error): void =>
          reject(signal.aborted ? (signal.reason as Error) : (streamFault(stream) ?? cause));
        const abort = (): void => void stream.close(constants.NGHTTP2_CANCEL);
        signal.addEventListener('abort', abort);
        stream.on('error', fail);
        stream.on('close', () => {
          signal.removeEventListener('abort', abort);
          fail(new Error('EOF'));
          settled?.();
        });
        stream.on('response', (received, _flags, raw) => {
          const status = received[':status'] ?? 0;
          const headers =
            (raw as string[] | undefined)?.filter((_, i, all) => !(all[i & ~1] as string).startsWith(':')) ??
            [];
          receiveBody(
            stream,
            request.verb,
            status,
            headers,
            (body) => resolve({ status, headers, body }),
            fail,
          );
        });
        if (empty) return;
        if (bytes !== undefined) stream.end(bytes);
        else void pumpBody(request.body.stream(), stream);
      });
    },
    close: () => session?.close(),
  };
}

/** A stream that the app has reset, in the words of Go's client. */
function streamFault({ id, rstCode }: ClientHttp2Stream): Error | undefined {
  if (id === undefined || rstCode === undefined || rstCode === constants.NGHTTP2_NO_ERROR) return undefined;
  const name = CODE_NAMES[rstCode - 1] ?? `unknown error code 0x${rstCode.toString(16)}`;
  return new Error(`stream error: stream ID ${id}; ${name}; received from peer`);
}

/** Error codes of RFC 9113, section 7, from 1 on. */
const CODE_NAMES = [
  'PROTOCOL_ERROR',
  'INTERNAL_ERROR',
  'FLOW_CONTROL_ERROR',
  'SETTINGS_TIMEOUT',
  'STREAM_CLOSED',
  'FRAME_SIZE_ERROR',
  'REFUSED_STREAM',
  'CANCEL',
  'COMPRESSION_ERROR',
  'CONNECT_ERROR',
  'ENHANCE_YOUR_CALM',
  'INADEQUATE_SECURITY',
  'HTTP_1_1_REQUIRED',
];

const MAY_HAVE_BODY = new Set(['POST', 'PUT', 'PATCH']);

function requestHeaders(request: TransportRequest, address: string): OutgoingHttpHeaders {
  const headers: Record<string, string | string[]> = {
    // Without a prototype: the app's own header may be called `constructor`.
    __proto__: null as never,
    ':method': request.verb,
    ':path': request.path,
    ':authority': address,
    ':scheme': 'http',
  };
  for (let i = 0; i + 1 < request.headers.length; i += 2) {
    const name = (request.headers[i] as string).toLowerCase();
    const value = request.headers[i + 1] as string;
    const earlier = headers[name];
    if (earlier === undefined) headers[name] = value;
    else if (name === 'cookie') headers[name] = `${earlier}; ${value}`;
    else headers[name] = Array.isArray(earlier) ? [...earlier, value] : [earlier, value];
  }
  const length = request.body.bytes?.byteLength ?? request.body.length;
  if (length !== undefined && (length > 0 || MAY_HAVE_BODY.has(request.verb)))
    headers['content-length'] = String(length);
  return headers;
}

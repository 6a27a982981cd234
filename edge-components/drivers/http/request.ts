/** One bounded HTTP request for components: keep-alive connections, client TLS, a whole answer in memory up to a cap. */

import { Agent as HttpAgent, request as httpRequest, type IncomingHttpHeaders } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';

/** PEM texts of a TLS client. */
export interface ClientTls {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
}

export interface HttpCall {
  readonly method: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string | readonly string[]>>;
  readonly body?: Uint8Array;
  readonly signal: AbortSignal;
  /** Bytes of the answer that are kept; `truncated` tells that there was more. */
  readonly maxAnswerBytes: number;
}

export interface HttpAnswer {
  readonly status: number;
  readonly statusText: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Uint8Array;
  readonly truncated: boolean;
}

export interface HttpClient {
  call(call: HttpCall): Promise<HttpAnswer>;
  close(): void;
}

const MAX_SOCKETS = 64;

/** A client with its own connection pool; `close` ends idle connections. */
export function createHttpClient(tls: ClientTls = {}): HttpClient {
  const plain = new HttpAgent({ keepAlive: true, maxSockets: MAX_SOCKETS });
  let secure: HttpsAgent | undefined;
  const secureAgent = (): HttpsAgent => {
    secure ??= new HttpsAgent({ keepAlive: true, maxSockets: MAX_SOCKETS, minVersion: 'TLSv1.2', ...tls });
    return secure;
  };
  return {
    call: (call) =>
      new Promise((resolve, reject) => {
        const isSecure = /^https:/i.test(call.url);
        const send = isSecure ? httpsRequest : httpRequest;
        const headers: Record<string, string | string[]> = {};
        for (const [name, value] of Object.entries(call.headers))
          headers[name] = typeof value === 'string' ? value : [...value];
        if (call.body !== undefined) headers['content-length'] = String(call.body.length);
        const request = send(
          call.url,
          { method: call.method, headers, agent: isSecure ? secureAgent() : plain, signal: call.signal },
          (response) => {
            const parts: Uint8Array[] = [];
            let kept = 0;
            let truncated = false;
            response.on('data', (part: Uint8Array) => {
              const room = call.maxAnswerBytes - kept;
              if (part.length > room) truncated = true;
              if (room <= 0) return;
              const piece = part.length > room ? part.subarray(0, room) : part;
              parts.push(piece);
              kept += piece.length;
            });
            response.once('error', reject);
            response.once('end', () =>
              resolve({
                status: response.statusCode ?? 0,
                statusText: response.statusMessage ?? '',
                headers: response.headers,
                body: Buffer.concat(parts),
                truncated,
              }),
            );
          },
        );
        request.once('error', reject);
        request.end(call.body);
      }),
    close: () => {
      plain.destroy();
      secure?.destroy();
    },
  };
}

/**
 * One bounded HTTP request for components: keep-alive connections, client TLS, a whole answer in memory up to a cap.
 * Redirects are followed when a caller allows them. A request that fell on a connection which the far side had just
 * closed is sent again once where that cannot do a thing twice.
 */

import {
  type ClientRequest,
  Agent as HttpAgent,
  request as httpRequest,
  type IncomingHttpHeaders,
  type IncomingMessage,
} from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { followRedirect } from './redirect.ts';

/** PEM texts of a TLS client. */
export interface ClientTls {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  /** OpenSSL option bits (`crypto.constants.SSL_OP_*`). */
  readonly secureOptions?: number;
}

export interface HttpCall {
  readonly method: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string | readonly string[]>>;
  readonly body?: Uint8Array;
  readonly signal: AbortSignal;
  /** Bytes of the answer that are kept; `truncated` tells that there was more. */
  readonly maxAnswerBytes: number;
  /** Not on a kept connection, which may be dead without anybody knowing; it is closed behind the answer. */
  readonly ownConnection?: boolean | undefined;
  /** Redirects that are followed; default none. */
  readonly maxRedirects?: number;
  /** Lower-case names of headers that must not reach another origin, besides `authorization` and cookies. */
  readonly secretHeaders?: readonly string[];
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
/** Methods that may be sent again (RFC 9110, section 9.2.2). */
const IDEMPOTENT = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE', 'PUT', 'DELETE']);

/** A client with its own connection pool; `close` ends idle connections. */
export function createHttpClient(tls: ClientTls = {}): HttpClient {
  const plain = new HttpAgent({ keepAlive: true, maxSockets: MAX_SOCKETS });
  let secure: HttpsAgent | undefined;
  let single: HttpsAgent | undefined;
  const agentOf = (isSecure: boolean, ownConnection: boolean): HttpAgent | HttpsAgent | false => {
    if (!isSecure) return ownConnection ? false : plain;
    if (ownConnection) {
      single ??= new HttpsAgent({ minVersion: 'TLSv1.2', ...tls });
      return single;
    }
    secure ??= new HttpsAgent({ keepAlive: true, maxSockets: MAX_SOCKETS, minVersion: 'TLSv1.2', ...tls });
    return secure;
  };
  const send = async (call: HttpCall): Promise<HttpAnswer> => {
    const attempt: Attempt = {};
    try {
      return await sendOnce(call, agentOf, attempt);
    } catch (error) {
      const stale = attempt.request?.reusedSocket === true && attempt.answered !== true;
      if (!stale || call.signal.aborted || !IDEMPOTENT.has(call.method) || !isReset(error)) throw error;
      return await sendOnce(call, agentOf, {});
    }
  };
  return {
    call: async (call) => {
      let current = call;
      for (let left = call.maxRedirects ?? 0; ; left -= 1) {
        const answer = await send(current);
        const next = (call.maxRedirects ?? 0) > 0 ? followRedirect(current, answer) : undefined;
        if (next === undefined) return answer;
        if (left === 0) throw new Error(`stopped after ${call.maxRedirects} redirects`);
        current = next;
      }
    },
    close: () => {
      plain.destroy();
      secure?.destroy();
      single?.destroy();
    },
  };
}

interface Attempt {
  request?: ClientRequest;
  answered?: boolean;
}

function isReset(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException).code;
  return code === 'ECONNRESET' || code === 'EPIPE';
}

function sendOnce(
  call: HttpCall,
  agentOf: (isSecure: boolean, ownConnection: boolean) => HttpAgent | HttpsAgent | false,
  attempt: Attempt,
): Promise<HttpAnswer> {
  return new Promise((resolve, reject) => {
    const isSecure = /^https:/i.test(call.url);
    const headers: Record<string, string | string[]> = {};
    for (const [name, value] of Object.entries(call.headers))
      headers[name] = typeof value === 'string' ? value : [...value];
    if (call.body !== undefined) headers['content-length'] = String(call.body.length);
    const agent = agentOf(isSecure, call.ownConnection === true);
    const options = { method: call.method, headers, agent, signal: call.signal };
    const request = (isSecure ? httpsRequest : httpRequest)(call.url, options, (response) => {
      attempt.answered = true;
      readAnswer(response, call.maxAnswerBytes, resolve, reject);
    });
    attempt.request = request;
    request.once('error', reject);
    request.end(call.body);
  });
}

function readAnswer(
  response: IncomingMessage,
  maxBytes: number,
  resolve: (answer: HttpAnswer) => void,
  reject: (error: unknown) => void,
): void {
  const parts: Uint8Array[] = [];
  let room = maxBytes;
  const finish = (truncated: boolean): void =>
    resolve({
      status: response.statusCode ?? 0,
      statusText: response.statusMessage ?? '',
      headers: response.headers,
      body: Buffer.concat(parts),
      truncated,
    });
  response.on('data', (part: Uint8Array) => {
    if (part.length <= room) {
      parts.push(part);
      room -= part.length;
      return;
    }
    if (room > 0) parts.push(part.subarray(0, room));
    room = 0;
    finish(true);
    // What follows may have no end: the connection is given up rather than drained.
    response.destroy();
  });
  response.once('error', reject);
  response.once('aborted', () => reject(new Error('the connection was closed in the middle of the answer')));
  response.once('end', () => finish(false));
}

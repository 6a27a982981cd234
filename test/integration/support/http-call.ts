/** One HTTP/1.1 call on a connection of its own, with every header as it was sent and received. */

import { type IncomingHttpHeaders, type OutgoingHttpHeaders, request } from 'node:http';

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly bytes: Buffer;
  readonly text: string;
}

export interface CallOptions {
  readonly method?: string;
  readonly headers?: OutgoingHttpHeaders;
  /** An object is sent as JSON; a list of buffers as chunks. */
  readonly body?: string | Uint8Array | readonly Uint8Array[] | object;
  readonly timeoutMs?: number;
}

function chunksOf(body: CallOptions['body']): readonly (string | Uint8Array)[] {
  if (body === undefined) return [];
  if (typeof body === 'string' || body instanceof Uint8Array) return [body];
  if (Array.isArray(body) && body.length > 0 && body.every((part) => part instanceof Uint8Array)) return body;
  return [JSON.stringify(body)];
}

/** The method is POST with a body and GET without one, unless given. */
export function call(url: string, options: CallOptions = {}): Promise<Answer> {
  const { body, headers = {}, timeoutMs = 20_000 } = options;
  const chunks = chunksOf(body);
  const isJson = body !== undefined && chunks.length === 1 && typeof chunks[0] === 'string';
  const streamed = chunks.length > 1;
  return new Promise((resolve, reject) => {
    const outgoing = request(
      url,
      {
        method: options.method ?? (body === undefined ? 'GET' : 'POST'),
        agent: false,
        signal: AbortSignal.timeout(timeoutMs),
        headers: {
          ...(isJson ? { 'content-type': 'application/json' } : {}),
          ...(chunks.length === 1 ? { 'content-length': Buffer.byteLength(chunks[0] ?? '') } : {}),
          ...(streamed ? { 'transfer-encoding': 'chunked' } : {}),
          ...headers,
        },
      },
      (incoming) => {
        const parts: Buffer[] = [];
        incoming.on('data', (part: Buffer) => parts.push(part));
        incoming.once('error', reject);
        incoming.once('end', () => {
          const bytes = Buffer.concat(parts);
          resolve({
            status: incoming.statusCode ?? 0,
            headers: incoming.headers,
            bytes,
            text: bytes.toString(),
          });
        });
      },
    );
    outgoing.once('error', reject);
    for (const chunk of chunks) outgoing.write(chunk);
    outgoing.end();
  });
}

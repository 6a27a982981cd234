/** An HTTP client for parity tests, and how its answers read in the HTTP column of a table. */

import { Agent, request as httpRequest } from 'node:http';

export interface HttpCall {
  readonly method?: string;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

export interface HttpAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly text: string;
}

export interface HttpClient {
  send(call: HttpCall): Promise<HttpAnswer>;
  close(): void;
}

export function httpClient(port: number): HttpClient {
  const agent = new Agent({ keepAlive: true });
  return {
    close: () => agent.destroy(),
    send: ({ method = 'GET', path, headers = {}, body }) =>
      new Promise((resolve, reject) => {
        const outgoing = httpRequest({ host: '127.0.0.1', port, agent, method, path, headers });
        outgoing.on('error', reject);
        outgoing.on('response', (response) => {
          const parts: Buffer[] = [];
          response.on('data', (part) => parts.push(part));
          response.on('error', reject);
          response.on('end', () =>
            resolve({
              status: response.statusCode ?? 0,
              headers: response.headers,
              text: Buffer.concat(parts).toString('utf8'),
            }),
          );
        });
        if (body !== undefined) outgoing.setHeader('content-length', Buffer.byteLength(body));
        outgoing.end(body);
      }),
  };
}

/** `?metadata.a=b&c=d`, or nothing. */
export function metadataQuery(
  metadata: Readonly<Record<string, string>> = {},
  more: Readonly<Record<string, string | undefined>> = {},
): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(metadata)) query.append(`metadata.${name}`, value);
  for (const [name, value] of Object.entries(more)) if (value !== undefined) query.append(name, value);
  return query.size === 0 ? '' : `?${query}`;
}

/** The `metadata.<name>` headers of an answer, without their prefix. */
export function metadataHeaders(answer: HttpAnswer): Record<string, string> {
  return Object.fromEntries(
    Object.entries(answer.headers)
      .filter(([name]) => name.startsWith('metadata.'))
      .map(([name, value]) => [name.slice('metadata.'.length), String(value)]),
  );
}

/** An app beside the sidecar: records every request in order and answers as the test says. */

import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type OutgoingHttpHeaders,
} from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Test } from 'tap';
import { until } from './until.ts';

export interface AppRequest {
  readonly method: string;
  /** Path without the query. */
  readonly path: string;
  /** Path and query as they were received. */
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

export interface AppAnswer {
  readonly status?: number;
  readonly headers?: OutgoingHttpHeaders;
  readonly body?: string | Uint8Array | object;
}

export type AppHandler = (request: AppRequest) => AppAnswer | undefined | Promise<AppAnswer | undefined>;

export interface ScriptedApp {
  readonly port: number;
  readonly requests: readonly AppRequest[];
  /** Requests to this path so far. */
  to(path: string): readonly AppRequest[];
  /** Their bodies as JSON. */
  jsonTo(path: string): readonly unknown[];
  /** Waits for this many requests to the path. */
  received(path: string, count?: number): Promise<readonly AppRequest[]>;
  /** Answers of the path from now on. */
  on(path: string, handler: AppHandler): void;
}

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

/** Paths without a handler answer 404, as an app's framework does. */
export async function startApp(
  t: Test,
  handlers: Readonly<Record<string, AppHandler>> = {},
  port = 0,
): Promise<ScriptedApp> {
  const table = new Map(Object.entries(handlers));
  const requests: AppRequest[] = [];
  const server = createServer((incoming, outgoing) => {
    const answer = async (): Promise<void> => {
      const url = incoming.url ?? '/';
      const path = url.split('?', 1)[0] ?? '/';
      const request: AppRequest = {
        method: incoming.method ?? '',
        path,
        url,
        headers: incoming.headers,
        body: await bodyOf(incoming),
      };
      requests.push(request);
      const handler = table.get(path);
      const {
        status = 200,
        headers = {},
        body,
      } = (await handler?.(request)) ?? { status: handler ? 200 : 404 };
      const isObject = body !== undefined && typeof body === 'object' && !(body instanceof Uint8Array);
      outgoing.writeHead(status, { ...(isObject ? { 'content-type': 'application/json' } : {}), ...headers });
      outgoing.end(isObject ? JSON.stringify(body) : body);
    };
    answer().catch((error: unknown) => outgoing.destroy(error instanceof Error ? error : undefined));
  });
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  const to = (path: string): readonly AppRequest[] => requests.filter((request) => request.path === path);
  return {
    port: (server.address() as AddressInfo).port,
    requests,
    to,
    jsonTo: (path) => to(path).map((request) => JSON.parse(request.body.toString())),
    received: (path, count = 1) =>
      until(`${count} requests to ${path}`, () => (to(path).length >= count ? to(path) : undefined)),
    on: (path, handler) => void table.set(path, handler),
  };
}

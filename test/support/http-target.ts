/** A local HTTP server that keeps what it was asked and answers as a test says. */

import { createServer, type IncomingHttpHeaders, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface TargetRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

export type TargetAnswer =
  | {
      readonly status?: number;
      readonly headers?: Readonly<Record<string, string | string[]>>;
      readonly body?: string | Uint8Array;
    }
  /** The connection is cut without an answer. */
  | 'cut'
  /** No answer at all. */
  | 'hang';

export interface HttpTarget {
  readonly url: string;
  readonly requests: readonly TargetRequest[];
  close(): Promise<void>;
}

export async function httpTarget(
  answer: (request: TargetRequest) => TargetAnswer = () => ({}),
): Promise<HttpTarget> {
  const requests: TargetRequest[] = [];
  const listener: RequestListener = async (incoming, outgoing) => {
    const parts: Uint8Array[] = [];
    for await (const part of incoming) parts.push(part as Uint8Array);
    const { method = '', url = '', headers } = incoming;
    const request = { method, url, headers, body: Buffer.concat(parts).toString('utf8') };
    requests.push(request);
    const given = answer(request);
    if (given === 'hang') return;
    if (given === 'cut') {
      incoming.socket.destroy();
      return;
    }
    outgoing.writeHead(given.status ?? 200, given.headers);
    outgoing.end(given.body);
  };
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

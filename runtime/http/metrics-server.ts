/** Prometheus text on the metrics port, at `/` and `/metrics` (Dapr HTTP reference, section 23). */

import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { splitTarget } from './path.ts';

export interface MetricsServerOptions {
  /** Empty: all interfaces. */
  readonly address: string;
  /** `--metrics-port`; 0 picks a free one. */
  readonly port: number;
  /** Metrics in Prometheus text format 0.0.4. */
  render(): string;
}

export interface MetricsServer {
  listen(): Promise<void>;
  close(): Promise<void>;
  readonly port: number;
}

const MAX_CONNECTIONS = 64;
const PATHS = new Set(['/', '/metrics']);

/** Makes the server; nothing is opened yet. */
export function createMetricsServer(options: MetricsServerOptions): MetricsServer {
  const answer = (request: IncomingMessage, response: ServerResponse): void => {
    const known = PATHS.has(splitTarget(request.url ?? '/').path);
    const body = known ? options.render() : '404 page not found\n';
    response.writeHead(known ? 200 : 404, {
      'Content-Type': known ? 'text/plain; version=0.0.4; charset=utf-8' : 'text/plain; charset=utf-8',
      'Content-Length': Buffer.byteLength(body),
    });
    response.end(body);
  };
  const server = createServer({ headersTimeout: 10_000 }, answer);
  server.maxConnections = MAX_CONNECTIONS;
  return {
    listen: () =>
      new Promise((resolve, reject) => {
        server.once('error', (error: NodeJS.ErrnoException) =>
          reject(
            error.code === 'EADDRINUSE'
              ? new Error(`port ${options.port} is already in use; choose another one with --metrics-port`, {
                  cause: error,
                })
              : error,
          ),
        );
        server.listen(
          options.address === '' ? { port: options.port } : { port: options.port, host: options.address },
          resolve,
        );
      }),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
    get port() {
      return (server.address() as AddressInfo | null)?.port ?? 0;
    },
  };
}

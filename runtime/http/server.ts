/** The HTTP API of one sidecar: its listeners, the public port, and an orderly end. */

import type { Blocks } from '../contracts/blocks.ts';
import type { Clock } from '../contracts/clock.ts';
import { errorText, type RuntimeError } from '../contracts/error.ts';
import type { HttpMiddleware } from '../contracts/http-middleware.ts';
import type { Logger } from '../contracts/logger.ts';
import type { Metrics } from '../contracts/metrics.ts';
import type { HttpOperationKey } from '../contracts/operations.ts';
import type { Tracer } from '../contracts/trace.ts';
import type { ApiAccess } from './api-access.ts';
import { type ApiLogOptions, createApiLog } from './api-log.ts';
import { ApiService } from './api-service.ts';
import { createTokenCheck } from './api-token.ts';
import { createCors } from './cors.ts';
import { createHttpMetrics, type HttpMetricsOptions } from './http-metrics.ts';
import { Listener } from './listener.ts';
import { createRouter } from './router.ts';
import { createHandlers } from './routes/handlers.ts';
import { removeStaleSocket, socketPath } from './unix-socket.ts';

export interface HttpServerOptions {
  readonly appId: string;
  readonly blocks: Blocks;
  readonly tracer: Tracer;
  readonly log: Logger;
  readonly clock: Clock;
  /** Absent: metrics are off. */
  readonly metrics?: Metrics;
  readonly httpMetrics: HttpMetricsOptions & { readonly recordErrorCodes: boolean };
  readonly limits: {
    /** `--max-body-size`; 0 or below: no limit. */
    readonly maxBodyBytes: number;
    /** `--read-buffer-size`. */
    readonly readBufferBytes: number;
    /** Absent: 4096. */
    readonly maxConnections?: number;
    /** Calls in progress at once; absent: 16384. */
    readonly maxInFlight?: number;
  };
  /** `DAPR_API_TOKEN`; empty: no check. */
  readonly apiToken: string;
  /** `--allowed-origins`; empty: no CORS. */
  readonly allowedOrigins: string;
  readonly apiAccess: ApiAccess;
  /** Steps of `httpPipeline`, asked for on every request, so that reloaded components take part. */
  readonly pipeline: () => readonly HttpMiddleware[];
  readonly apiLogging: ApiLogOptions;
  /** `--dapr-listen-addresses`; `''` is every interface, IPv6 in or without brackets. */
  readonly addresses: readonly string[];
  /** `--dapr-http-port`; 0 picks a free one. */
  readonly port: number;
  /** `--dapr-public-port`; absent: no public listener. */
  readonly publicPort?: number;
  readonly publicAddress?: string;
  /** Directory of `--unix-domain-socket`; when set it takes the place of the TCP addresses. */
  readonly unixSocket?: string;
  /** False when `DAPR_HTTP_DISABLE_H2C` is truthy. */
  readonly h2c: boolean;
}

export interface HttpServer {
  /** Opens every listener, or none. */
  listen(): Promise<void>;
  /** Stops accepting, lets calls in flight end within `graceMs`, then aborts them. May be called more than once. */
  close(graceMs: number): Promise<void>;
  /** Port in use after `listen`; 0 with a Unix socket. */
  readonly port: number;
  readonly publicPort: number;
}

const DEFAULT_MAX_CONNECTIONS = 4096;
/** A pipelining client or HTTP/2 could pile up any number on few connections. */
const DEFAULT_MAX_IN_FLIGHT = 16_384;
const PUBLIC_OPERATIONS: readonly HttpOperationKey[] = [
  'metadataGet',
  'metadataSet',
  'health',
  'healthOutbound',
];

/** Makes the server; nothing is opened yet. */
export function createHttpServer(options: HttpServerOptions): HttpServer {
  const { log, clock, tracer, limits } = options;
  const handlers = createHandlers(options.blocks, {
    appId: options.appId,
    tokenChecked: options.apiToken !== '',
  });
  const { metrics } = options;
  const record = metrics === undefined ? undefined : createHttpMetrics(metrics, options.httpMetrics);
  const recordError =
    metrics === undefined || !options.httpMetrics.recordErrorCodes
      ? {}
      : {
          recordError: (error: RuntimeError) =>
            metrics.count('error_code_total', { error_code: error.errorCode, category: error.row.category }),
        };
  const { maxBodyBytes, maxInFlight = DEFAULT_MAX_IN_FLIGHT } = limits;
  const shared = { tracer, log, clock, record, maxBodyBytes, maxInFlight, ...recordError };
  const api = new ApiService({
    ...shared,
    route: createRouter({ handlers, access: options.apiAccess }),
    cors: createCors(options.allowedOrigins),
    checkToken: options.apiToken === '' ? undefined : createTokenCheck(options.apiToken),
    steps: options.pipeline,
    logCall: createApiLog(log, options.apiLogging),
  });
  const open = new ApiService({
    ...shared,
    route: createRouter({ handlers, access: options.apiAccess, only: PUBLIC_OPERATIONS }),
    cors: undefined,
    checkToken: undefined,
    steps: () => [],
    logCall: undefined,
  });
  const listener = (service: ApiService, h2c: boolean): Listener =>
    new Listener({
      clock,
      h2c,
      readBufferBytes: limits.readBufferBytes,
      maxConnections: limits.maxConnections ?? DEFAULT_MAX_CONNECTIONS,
      handle: service.handle,
      refuse: service.refuse,
    });

  const listeners: Listener[] = [];
  let publicListener: Listener | undefined;
  let closing: Promise<void> | undefined;

  const openOne = async (made: Listener, host: string, port: number, flag: string): Promise<boolean> => {
    const bare = host.replace(/^\[(.*)\]$/, '$1');
    try {
      await made.listen(bare === '' ? { port } : { port, host: bare });
      return true;
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'EADDRINUSE')
        throw new Error(`port ${port} is already in use; choose another one with ${flag}`, { cause: error });
      if (code === 'EACCES')
        throw new Error(`port ${port} may not be opened by this user; choose another one with ${flag}`, {
          cause: error,
        });
      log.warn(`cannot listen on ${host === '' ? 'all interfaces' : host}:${port}`, {
        error: errorText(error),
      });
      return false;
    }
  };
  const openTcp = async (): Promise<void> => {
    let { port } = options;
    for (const host of options.addresses.length === 0 ? [''] : options.addresses) {
      const made = listener(api, options.h2c);
      if (!(await openOne(made, host.trim(), port, '--dapr-http-port'))) continue;
      listeners.push(made);
      port = made.port;
    }
    if (listeners.length === 0) {
      throw new Error(
        `could not listen on any of the addresses ${options.addresses.join(', ')}; check --dapr-listen-addresses`,
      );
    }
  };
  const openUnix = async (directory: string): Promise<void> => {
    const path = socketPath(directory, options.appId);
    await removeStaleSocket(path);
    const made = listener(api, options.h2c);
    await made.listen({ path }).catch((error) => {
      throw new Error(`cannot open socket ${path}; check --unix-domain-socket: ${errorText(error)}`, {
        cause: error,
      });
    });
    listeners.push(made);
    log.info(`HTTP API listens on ${path}`);
  };
  const openPublic = async (port: number): Promise<void> => {
    const made = listener(open, false);
    if (!(await openOne(made, options.publicAddress ?? '', port, '--dapr-public-port'))) {
      throw new Error(`could not listen on port ${port} for the public API; check --dapr-public-port`);
    }
    publicListener = made;
  };
  const all = (): readonly Listener[] =>
    publicListener === undefined ? listeners : [...listeners, publicListener];

  const close = async (graceMs: number): Promise<void> => {
    for (const made of all()) made.stop();
    const idle = Promise.all([api.drain(), open.drain()]);
    let giveUp: (() => void) | undefined;
    const timer = clock.startTimer(graceMs, () => giveUp?.());
    await Promise.race([
      idle,
      new Promise<void>((resolve) => {
        giveUp = resolve;
      }),
    ]);
    timer.cancel();
    api.abort();
    open.abort();
    for (const made of all()) made.destroy();
  };

  return {
    listen: async () => {
      try {
        await (options.unixSocket === undefined || options.unixSocket === ''
          ? openTcp()
          : openUnix(options.unixSocket));
        if (options.publicPort !== undefined) await openPublic(options.publicPort);
      } catch (error) {
        await close(0);
        throw error;
      }
    },
    close: (graceMs) => {
      closing ??= close(graceMs);
      return closing;
    },
    get port() {
      return listeners[0]?.port ?? 0;
    },
    get publicPort() {
      return publicListener?.port ?? 0;
    },
  };
}

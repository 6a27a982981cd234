/** One log line per API call, with `--enable-api-logging` (Dapr Configuration, `spec.logging.apiLogging`). */

import type { Logger } from '../contracts/logger.ts';
import { type HttpOperationKey, OPERATIONS } from '../contracts/operations.ts';
import type { ApiRequest } from './api-request.ts';
import { pathText } from './path.ts';
import { calledMethod } from './routes/invoke-target.ts';

export interface ApiLogOptions {
  readonly enabled: boolean;
  /** Writes the operation instead of the path. */
  readonly obfuscateUrls: boolean;
  readonly omitHealthChecks: boolean;
}

const HEALTH = new Set(['health', 'healthOutbound']);

/** Writes the line of one call that a route answered. */
export type LogCall = (request: ApiRequest, status: number, size: number, elapsedMs: number) => void;

/** Makes the writer; `undefined` when API logging is off. */
export function createApiLog(log: Logger, options: ApiLogOptions): LogCall | undefined {
  if (!options.enabled) return undefined;
  const lines = log.child('dapr.runtime.http-info');
  return (request, status, size, elapsedMs) => {
    if (request.operation === '' || (options.omitHealthChecks && HEALTH.has(request.operation))) return;
    const useragent = request.header('user-agent');
    lines.info('HTTP API Called', {
      method: options.obfuscateUrls
        ? operationName(request)
        : `${request.method} ${pathText(request.rawPath)}`,
      code: status,
      size,
      duration: Math.floor(elapsedMs),
      ...(useragent === '' ? {} : { useragent }),
    });
  };
}

/** The method of the gRPC API with the same meaning; of an invocation also whom it calls. */
function operationName(request: ApiRequest): string {
  const { operation } = request;
  const name = OPERATIONS[operation as HttpOperationKey].grpc[0]?.method ?? operation;
  const callee = operation === 'invoke' ? calledMethod(request) : undefined;
  return callee === undefined ? name : `${name}/${callee.id}`;
}

/** Server metrics of API requests: names, labels and the cutting of paths as in Dapr (HTTP reference, section 23). */

import type { Labels, Metrics } from '../contracts/metrics.ts';
import { decodeBytes } from './path.ts';

export interface HttpMetricsOptions {
  /** False: only paths of `pathMatching` are kept. */
  readonly increasedCardinality: boolean;
  readonly pathMatching: readonly string[];
  /** True: the `method` label is empty. */
  readonly excludeVerbs: boolean;
}

const VERBS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'CONNECT', 'OPTIONS', 'TRACE']);
const ALWAYS_KEPT = new Set(['/dapr/config', '/dapr/subscribe', '/dapr/metrics', '/healthz']);
/** Label sets that are kept ready; beyond that they are made each time. */
const MAX_LABELS = 1000;
/** Shared, so that a registry may keep what it derived from it. */
const NO_LABELS: Labels = Object.freeze({});

/** The `path` label of a decoded path with increased cardinality. */
export function pathLabel(path: string): string {
  const parts = (path.startsWith('/') ? path.slice(1) : path).split('/');
  if (parts.length < 3) return path;
  switch (parts[1]) {
    case 'state':
    case 'secrets':
      return `/${parts[0]}/${parts[1]}/${parts[2]}`;
    case 'actors':
      return parts.length < 5 ? path : `/${parts[0]}/actors/${parts[2]}/{id}/${parts[4]}`;
    case 'workflows':
      return workflowLabel(path, parts);
    default:
      return path;
  }
}

function workflowLabel(path: string, parts: readonly string[]): string {
  if (parts.length < 4) return path;
  const prefix = `/${parts[0]}/workflows/${parts[2]}`;
  if (parts[4] === undefined) return `${prefix}/{instanceId}`;
  if (parts[4] === 'start') return `${prefix}/${parts[3]}/start`;
  if (parts[4] === 'raiseEvent') return `${prefix}/{instanceId}/raiseEvent/{eventName}`;
  return `${prefix}/{instanceId}/${parts[4]}`;
}

/** A pattern such as `/orders/{id}/items`; `{rest...}` and a trailing slash take all that follows. */
function patternTest(pattern: string): (path: string) => boolean {
  const source = pattern
    .split('/')
    .map((part) =>
      /^\{.*\.\.\.\}$/.test(part)
        ? '.*'
        : /^\{.*\}$/.test(part)
          ? '[^/]+'
          : part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'),
    )
    .join('/');
  const test = new RegExp(`^${source}${pattern.endsWith('/') ? '.*' : ''}$`);
  return (path) => test.test(path);
}

/** Records one finished request. */
export type RecordRequest = (
  method: string,
  rawPath: string,
  status: number,
  requestBytes: number,
  responseBytes: number,
  elapsedMs: number,
) => void;

/** Makes the recorder of a server. */
export function createHttpMetrics(metrics: Metrics, options: HttpMetricsOptions): RecordRequest {
  const patterns = options.pathMatching
    .flatMap((path) =>
      path.startsWith('/v1.0/invoke/') ? [path] : [path, `/v1.0/invoke/{app_id}/method${path}`],
    )
    .sort((a, b) => b.length - a.length)
    .map((pattern) => ({ pattern, test: patternTest(pattern) }));
  const label = (rawPath: string): string => {
    const path = decodeBytes(rawPath).replace(/\/{2,}/g, '/');
    const matched = patterns.find(({ test }) => test(path));
    if (matched !== undefined) return matched.pattern;
    return options.increasedCardinality || ALWAYS_KEPT.has(path) ? pathLabel(path) : '';
  };
  const ready = new Map<string, Labels>();
  const labels = (method: string, rawPath: string, status: number): Labels => {
    const path = label(rawPath);
    const key = `${method} ${status} ${path}`;
    let found = ready.get(key);
    if (found === undefined) {
      found = Object.freeze({
        method: options.excludeVerbs ? '' : VERBS.has(method) ? method : 'UNKNOWN',
        path,
        status: String(status),
      });
      if (ready.size < MAX_LABELS) ready.set(key, found);
    }
    return found;
  };
  return (method, rawPath, status, requestBytes, responseBytes, elapsedMs) => {
    const set = labels(method, rawPath, status);
    metrics.count('http_server_request_count', set);
    metrics.observe('http_server_latency', set, Math.floor(elapsedMs));
    if (options.increasedCardinality) metrics.count('http_server_response_count', set);
    metrics.observe('http_server_request_bytes', NO_LABELS, requestBytes);
    metrics.observe('http_server_response_bytes', NO_LABELS, responseBytes);
  };
}

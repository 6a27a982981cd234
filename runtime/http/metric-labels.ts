/**
 * Labels of HTTP metrics (HTTP reference, section 23): paths cut where they carry keys and ids, or replaced by the pattern
 * they match; with low cardinality nothing else is left of them.
 */

import { pathText } from './path.ts';
import { createPathMatcher, normalPath } from './path-patterns.ts';

export interface MetricLabelOptions {
  /** False: only paths of `pathMatching` are kept. */
  readonly increasedCardinality: boolean;
  readonly pathMatching: readonly string[];
  /** True: the `method` label is empty. */
  readonly excludeVerbs: boolean;
}

export interface MetricLabels {
  method(verb: string): string;
  /** Of an API request; `path` as received. */
  served(path: string): string;
  /** Of a call to the app; `path` escaped, without query. */
  called(path: string): string;
}

const VERBS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'CONNECT', 'OPTIONS', 'TRACE']);
/** Dapr's own requests to the app, which keep their path at low cardinality. */
const STATIC = new Set(['/dapr/config', '/dapr/metrics', '/healthz']);

/** The path with increased cardinality. */
export function pathLabel(path: string): string {
  if (path === '') return path;
  const normal = normalPath(path);
  const parts = normal.slice(1).split('/');
  if (parts.length < 3) return normal;
  if (parts[0] === 'actors') return [parts[0], parts[1], '{id}', ...parts.slice(3)].join('/');
  switch (parts[1]) {
    case 'state':
    case 'secrets':
      return `/${parts[0]}/${parts[1]}/${parts[2]}`;
    case 'actors':
      return parts.length < 5 ? normal : `/${parts[0]}/actors/${parts[2]}/{id}/${parts[4]}`;
    case 'workflows':
      return workflowLabel(normal, parts);
    default:
      return normal;
  }
}

function workflowLabel(path: string, parts: readonly string[]): string {
  if (parts.length < 4) return path;
  const prefix = `/${parts[0]}/workflows/${parts[2]}`;
  if (parts[4] === undefined) return `${prefix}/{instanceId}`;
  if (parts.length === 5 && parts[4].startsWith('start')) return `${prefix}/${parts[3]}/start`;
  if (parts[4] === 'raiseEvent' && (parts[5] ?? '') !== '')
    return `${prefix}/{instanceId}/raiseEvent/{eventName}`;
  return `${prefix}/{instanceId}/${parts[4]}`;
}

/** Makes the labels of one sidecar. */
export function createMetricLabels(options: MetricLabelOptions): MetricLabels {
  const { increasedCardinality, pathMatching, excludeVerbs } = options;
  const match = pathMatching.length === 0 ? undefined : createPathMatcher(pathMatching);
  /** A pattern that the path itself or its cut form matches. */
  const matched = (path: string): string | undefined => {
    if (match === undefined || path === '') return undefined;
    const found = match(normalPath(path));
    if (found !== undefined) return found;
    const cut = pathLabel(path);
    const again = cut === path ? undefined : match(normalPath(cut));
    return again === '/' ? undefined : again;
  };
  const label = (path: string): string => matched(path) ?? (increasedCardinality ? pathLabel(path) : '');
  return {
    method: (verb) => (excludeVerbs ? '' : VERBS.has(verb) ? verb : 'UNKNOWN'),
    served: (path) => label(pathText(path)),
    called: (escaped) => {
      const path = pathText(escaped);
      if (STATIC.has(path)) return path;
      const found = label(path);
      return increasedCardinality ? pathLabel(found) : found;
    },
  };
}

/** Server metrics of API requests: names and labels as in Dapr (HTTP reference, section 23). */

import type { Labels, Metrics } from '../contracts/metrics.ts';
import { createMetricLabels, type MetricLabelOptions } from './metric-labels.ts';

export type HttpMetricsOptions = MetricLabelOptions;

/** Label sets that are kept ready; beyond that they are made each time. */
const MAX_LABELS = 1000;
/** Shared, so that a registry may keep what it derived from it. */
const NO_LABELS: Labels = Object.freeze({});

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
  const names = createMetricLabels(options);
  const ready = new Map<string, Labels>();
  const labels = (method: string, rawPath: string, status: number): Labels => {
    const path = names.served(rawPath);
    const key = `${method} ${status} ${path}`;
    let found = ready.get(key);
    if (found === undefined) {
      found = Object.freeze({
        method: names.method(method),
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

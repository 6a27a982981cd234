/** Metrics of HTTP calls to the app (HTTP reference, section 23); label objects are kept, see `invocation-metrics.ts`. */

import type { Clock } from '../contracts/clock.ts';
import type { Labels, Metrics } from '../contracts/metrics.ts';

export interface ClientMetricsOptions {
  readonly metrics: Metrics;
  readonly clock: Pick<Clock, 'monotonicMs'>;
  /** Labels of a call; absent: verb and path as they are (the default, increased cardinality). */
  readonly label?: (verb: string, path: string) => { readonly method: string; readonly path: string };
}

/** One call that has begun; told once how it went. */
export interface MeasuredCall {
  answered(status: number, length: number | undefined): void;
  failed(): void;
}

export interface ClientMetrics {
  /** A call to the app. `path` comes without query. */
  call(verb: string, path: string, length: number | undefined): MeasuredCall;
  /** A health probe. */
  probe(): MeasuredCall;
}

const MAX_KEPT = 1000;
/** Dapr's status of a call without an answer. */
const NO_ANSWER = 500;
/** Shared, so that the registry may keep what it derived from it. */
const NO_LABELS: Labels = Object.freeze({});

/** Makes the recorder of one app channel. */
export function createClientMetrics(options: ClientMetricsOptions): ClientMetrics {
  const { metrics, clock } = options;
  const label = options.label ?? ((method: string, path: string) => ({ method, path }));
  const kept = new Map<string, Labels>();
  const labels = (key: string, make: () => Labels): Labels => {
    let found = kept.get(key);
    if (found === undefined) {
      found = Object.freeze(make());
      if (kept.size < MAX_KEPT) kept.set(key, found);
    }
    return found;
  };
  const callLabels = (verb: string, path: string, status: string): Labels =>
    labels(`${verb} ${status} ${path}`, () => ({ ...label(verb, path), status }));

  const measure = (end: (status: number, elapsedMs: number, length: number) => void): MeasuredCall => {
    const started = clock.monotonicMs();
    const finish = (status: number, length: number): void =>
      end(status, Math.floor(clock.monotonicMs() - started), length);
    return {
      answered: (status, length) => finish(status, length ?? 0),
      failed: () => finish(NO_ANSWER, 0),
    };
  };

  return {
    call(verb, path, length) {
      metrics.observe('http_client_sent_bytes', callLabels(verb, path, ''), length ?? 0);
      return measure((status, elapsedMs, received) => {
        const set = callLabels(verb, path, String(status));
        metrics.count('http_client_completed_count', set);
        metrics.observe('http_client_roundtrip_latency', set, elapsedMs);
        metrics.observe('http_client_received_bytes', NO_LABELS, received);
      });
    },
    probe: () =>
      measure((status, elapsedMs) => {
        const set = labels(`probe ${status}`, () => ({ status: String(status) }));
        metrics.count('http_healthprobes_completed_count', set);
        metrics.observe('http_healthprobes_roundtrip_latency', set, elapsedMs);
      }),
  };
}

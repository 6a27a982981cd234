/**
 * Metrics of what all sidecars of a node share (queues, storage). A node has no endpoint of its own: they show at the
 * sidecar that started first, so that nothing is counted twice when all are scraped.
 */

import type { Labels, Metrics } from '../contracts/metrics.ts';

export interface MetricsRelay extends Metrics {
  /** Adds an endpoint; gauges known so far are set there when it becomes the one in use. */
  attach(metrics: Metrics): { detach(): void };
}

/** Gauges remembered for endpoints that come later. */
const MAX_GAUGES = 1000;

export function createMetricsRelay(): MetricsRelay {
  const attached: Metrics[] = [];
  const gauges = new Map<
    string,
    { readonly name: string; readonly labels: Labels; readonly value: number }
  >();
  const settle = (): void => {
    for (const { name, labels, value } of gauges.values()) attached[0]?.gauge(name, labels, value);
  };
  return {
    count: (name, labels, amount) => attached[0]?.count(name, labels, amount),
    observe: (name, labels, value) => attached[0]?.observe(name, labels, value),
    gauge: (name, labels, value) => {
      const key = `${name} ${JSON.stringify(labels)}`;
      if (gauges.size < MAX_GAUGES || gauges.has(key)) gauges.set(key, { name, labels, value });
      attached[0]?.gauge(name, labels, value);
    },
    attach: (metrics) => {
      attached.push(metrics);
      if (attached[0] === metrics) settle();
      return {
        detach: () => {
          const at = attached.indexOf(metrics);
          if (at < 0) return;
          attached.splice(at, 1);
          if (at === 0) settle();
        },
      };
    },
  };
}

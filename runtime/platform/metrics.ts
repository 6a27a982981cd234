/** Counters, gauges and histograms in memory, rendered as Prometheus text with the prefix `dapr_`. */

import type { Labels, Metrics } from '../contracts/metrics.ts';
import type { RewriteLabels } from './metric-rules.ts';

/** Series per metric; more label combinations than this are folded away so that a caller cannot fill the memory. */
const MAX_SERIES = 5000;

export interface MetricsOptions {
  /** Constant labels of every series: `app_id`. */
  readonly common: Labels;
  /** Upper bounds of latency histograms in ms. */
  readonly latencyBuckets: readonly number[];
  /** Regex rules of the Configuration: replace label values before a series is chosen. */
  readonly rewrite?: RewriteLabels;
}

export interface MetricsRegistry extends Metrics {
  /** Prometheus text format 0.0.4, series and labels sorted. */
  render(): string;
}

interface Histogram {
  readonly counts: number[];
  sum: number;
  count: number;
}

const BYTE_BUCKETS = [
  1024, 2048, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864, 268435456, 1073741824,
  4294967296,
];

function escapeLabel(value: string): string {
  return value.replace(/[\\"\n]/g, (c) => (c === '\n' ? '\\n' : `\\${c}`));
}

/** Labels in exposition order: sorted, empty ones kept. */
function labelText(labels: Labels): string {
  return Object.keys(labels)
    .sort()
    .map((label) => `${label}="${escapeLabel(labels[label] ?? '')}"`)
    .join(',');
}

export function createMetrics(options: MetricsOptions): MetricsRegistry {
  const counters = new Map<string, Map<string, number>>();
  const gauges = new Map<string, Map<string, number>>();
  const histograms = new Map<string, Map<string, Histogram>>();

  /** Series text by labels as written; the last ones are looked at first, since callers record in pairs. */
  const known = new Map<string, string>();
  let lastLabels: Labels | undefined;
  let lastText = '';
  const seriesKey = (name: string, labels: Labels): string => {
    const rewrite = options.rewrite?.(name);
    if (rewrite !== undefined) return labelText(rewrite({ ...options.common, ...labels }));
    if (labels === lastLabels) return lastText;
    let written = '';
    for (const label in labels) written += `${label}\0${labels[label] ?? ''}\0`;
    let text = known.get(written);
    if (text === undefined) {
      text = labelText({ ...options.common, ...labels });
      if (known.size < MAX_SERIES) known.set(written, text);
    }
    lastLabels = labels;
    lastText = text;
    return text;
  };
  const family = <T>(families: Map<string, Map<string, T>>, name: string): Map<string, T> => {
    let found = families.get(name);
    if (found === undefined) {
      found = new Map();
      families.set(name, found);
    }
    return found;
  };
  const bounds = (name: string): readonly number[] =>
    name.endsWith('_bytes') || name.includes('bytes_per_rpc') ? BYTE_BUCKETS : options.latencyBuckets;
  const full = <T>(series: Map<string, T>, key: string): boolean =>
    series.size >= MAX_SERIES && !series.has(key);

  return {
    count: (name, labels, amount = 1) => {
      const series = family(counters, name);
      const key = seriesKey(name, labels);
      if (!full(series, key)) series.set(key, (series.get(key) ?? 0) + amount);
    },
    gauge: (name, labels, value) => {
      const series = family(gauges, name);
      const key = seriesKey(name, labels);
      if (!full(series, key)) series.set(key, value);
    },
    observe: (name, labels, value) => {
      const series = family(histograms, name);
      const key = seriesKey(name, labels);
      if (full(series, key)) return;
      const limits = bounds(name);
      let histogram = series.get(key);
      if (histogram === undefined) {
        histogram = { counts: limits.map(() => 0), sum: 0, count: 0 };
        series.set(key, histogram);
      }
      histogram.sum += value;
      histogram.count += 1;
      const index = limits.findIndex((limit) => value <= limit);
      if (index >= 0) histogram.counts[index] = (histogram.counts[index] ?? 0) + 1;
    },
    render: () => {
      const lines: string[] = [];
      const simple = (families: Map<string, Map<string, number>>, type: string): void => {
        for (const name of [...families.keys()].sort()) {
          lines.push(`# HELP dapr_${name} ${name}`, `# TYPE dapr_${name} ${type}`);
          for (const [labels, value] of [...(families.get(name) ?? [])].sort())
            lines.push(`dapr_${name}{${labels}} ${value}`);
        }
      };
      simple(counters, 'counter');
      simple(gauges, 'gauge');
      for (const name of [...histograms.keys()].sort()) {
        lines.push(`# HELP dapr_${name} ${name}`, `# TYPE dapr_${name} histogram`);
        const limits = bounds(name);
        for (const [labels, { counts, sum, count }] of [...(histograms.get(name) ?? [])].sort()) {
          let below = 0;
          const comma = labels === '' ? '' : ',';
          limits.forEach((limit, i) => {
            below += counts[i] ?? 0;
            lines.push(`dapr_${name}_bucket{${labels}${comma}le="${limit}"} ${below}`);
          });
          lines.push(
            `dapr_${name}_bucket{${labels}${comma}le="+Inf"} ${count}`,
            `dapr_${name}_sum{${labels}} ${sum}`,
            `dapr_${name}_count{${labels}} ${count}`,
          );
        }
      }
      const memory = process.memoryUsage();
      lines.push('# TYPE process_resident_memory_bytes gauge', `process_resident_memory_bytes ${memory.rss}`);
      lines.push(
        '# TYPE nodejs_heap_size_used_bytes gauge',
        `nodejs_heap_size_used_bytes ${memory.heapUsed}`,
      );
      return `${lines.join('\n')}\n`;
    },
  };
}

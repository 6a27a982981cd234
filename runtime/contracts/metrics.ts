/** Counters, gauges and histograms; names and labels are Dapr's where Dapr has them (HTTP reference, section 23). */

export type Labels = Readonly<Record<string, string>>;

export interface Metrics {
  /** Adds `amount` (default 1) to a counter. Names come without the `dapr_` prefix. */
  count(name: string, labels: Labels, amount?: number): void;
  /** Records one observation of a histogram (latencies in ms, sizes in bytes). */
  observe(name: string, labels: Labels, value: number): void;
  /** Sets a gauge. */
  gauge(name: string, labels: Labels, value: number): void;
}

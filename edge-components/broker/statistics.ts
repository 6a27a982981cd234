/** Counters of the broker since its start, for `$SYS` and the metrics. */

import type { Metrics } from '../../runtime/contracts/metrics.ts';

export class Statistics {
  messagesReceived = 0;
  messagesSent = 0;
  publishesReceived = 0;
  publishesSent = 0;
  bytesReceived = 0;
  bytesSent = 0;
  connections = 0;
  refused = 0;
  readonly dropped = new Map<string, number>();
  readonly #metrics: Metrics;
  readonly #reported = new Map<string, number>();

  constructor(metrics: Metrics) {
    this.#metrics = metrics;
  }

  get droppedTotal(): number {
    let total = 0;
    for (const count of this.dropped.values()) total += count;
    return total;
  }

  drop(reason: string): void {
    this.dropped.set(reason, (this.dropped.get(reason) ?? 0) + 1);
    this.#metrics.count('broker_messages_dropped_total', { reason });
  }

  /** Brings the metrics up to date; counting them one by one would cost more than the messages. */
  report(gauges: Readonly<Record<string, number>>): void {
    const totals = {
      broker_publishes_received_total: this.publishesReceived,
      broker_publishes_sent_total: this.publishesSent,
      broker_bytes_received_total: this.bytesReceived,
      broker_bytes_sent_total: this.bytesSent,
      broker_connections_total: this.connections,
      broker_connections_refused_total: this.refused,
    };
    for (const [name, total] of Object.entries(totals)) {
      const added = total - (this.#reported.get(name) ?? 0);
      if (added > 0) this.#metrics.count(name, {}, added);
      this.#reported.set(name, total);
    }
    for (const [name, value] of Object.entries(gauges)) this.#metrics.gauge(`broker_${name}`, {}, value);
  }
}

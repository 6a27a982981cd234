/**
 * What the node writes to its card. The kernel counts the bytes that the process caused to be written to block devices
 * (`write_bytes` of /proc/self/io); with the writes that were acknowledged they give bytes per acknowledged write, and with
 * what a card endures a projection of its life.
 */

import { readFileSync, statfsSync } from 'node:fs';
import type { Clock, Timer } from '../contracts/clock.ts';
import type { Metrics } from '../contracts/metrics.ts';

export interface CardCareOptions {
  readonly directory: string;
  readonly clock: Clock;
  readonly metrics: Metrics;
  /** Durable writes answered so far. */
  readonly acknowledged: () => number;
  /** Bytes that may be written to the card in its life; by default estimated from its size. */
  readonly enduranceBytes?: number;
}

export interface CardWear {
  readonly bytesWritten: number;
  readonly acknowledgedWrites: number;
  readonly bytesPerWrite?: number;
  readonly bytesPerDay?: number;
  readonly projectedCardLifeDays?: number;
}

const SAMPLE_MS = 60_000;
const DAY_MS = 86_400_000;
/** A projection from less than this is none. */
const LEAST_MS = 10 * 60_000;
/** Consumer cards endure some thousand erasures of each cell, and write about three times what they are given. */
const ERASURES = 1000;
const AMPLIFICATION = 3;

/** Samples once a minute until closed. */
export function startCardCare(options: CardCareOptions): { wear(): CardWear; close(): void } {
  const { clock, metrics } = options;
  const started = clock.monotonicMs();
  const before = bytesWritten();
  const endurance = options.enduranceBytes ?? estimate(options.directory);
  let timer: Timer;
  const wear = (): CardWear => {
    const written = bytesWritten() - before;
    const acknowledgedWrites = options.acknowledged();
    const elapsed = clock.monotonicMs() - started;
    const perDay = elapsed < LEAST_MS ? undefined : (written / elapsed) * DAY_MS;
    return {
      bytesWritten: written,
      acknowledgedWrites,
      ...(acknowledgedWrites === 0 ? {} : { bytesPerWrite: Math.round(written / acknowledgedWrites) }),
      ...(perDay === undefined ? {} : { bytesPerDay: Math.round(perDay) }),
      ...(perDay === undefined || perDay === 0 || endurance === undefined
        ? {}
        : { projectedCardLifeDays: Math.round(endurance / perDay) }),
    };
  };
  const sample = (): void => {
    const now = wear();
    metrics.gauge('storage_written_total_bytes', {}, now.bytesWritten);
    metrics.gauge('storage_acknowledged_writes', {}, now.acknowledgedWrites);
    if (now.bytesPerWrite !== undefined) metrics.gauge('storage_bytes_per_write', {}, now.bytesPerWrite);
    if (now.projectedCardLifeDays !== undefined)
      metrics.gauge('storage_projected_card_life_days', {}, now.projectedCardLifeDays);
    timer = clock.startTimer(SAMPLE_MS, sample, true);
  };
  sample();
  return { wear, close: () => timer.cancel() };
}

function bytesWritten(): number {
  try {
    return Number(/^write_bytes: (\d+)/m.exec(readFileSync('/proc/self/io', 'utf8'))?.[1] ?? 0);
  } catch {
    return 0; // No Linux, or no right to look.
  }
}

function estimate(directory: string): number | undefined {
  try {
    const { bsize, blocks } = statfsSync(directory);
    return (bsize * blocks * ERASURES) / AMPLIFICATION;
  } catch {
    return undefined;
  }
}

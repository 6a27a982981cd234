/**
 * What a flow may use of its link: messages a second, bytes an hour (any sixty minutes in a row), and the hours in which
 * it rests. Quiet hours go by the wall clock in the zone of the process, the rest by elapsed time.
 */

import type { Clock } from '../../contracts/clock.ts';
import type { SyncLimits } from '../../contracts/resource.ts';
import { type BudgetStore, createHourBudget } from './hour-budget.ts';

export interface Limiter {
  /** Why nothing may travel now and for how long, if so. */
  closed(): { readonly reason: string; readonly forMs: number } | undefined;
  /** Waits until `count` messages of `bytes` in all may travel, and counts them. */
  take(count: number, bytes: number, signal: AbortSignal): Promise<void>;
  readonly limited: boolean;
  /** Keeps what was spent. */
  close(): Promise<void>;
}

const MINUTE_MS = 60_000;
const MINUTES_A_DAY = 24 * 60;

export function createLimiter(
  limits: SyncLimits,
  clock: Clock,
  zone: string = new Intl.DateTimeFormat().resolvedOptions().timeZone,
  /** Where the budget of bytes outlives a restart. */
  store?: BudgetStore,
): Limiter {
  const { maxRate, maxBytesPerHour, quietHours } = limits;
  const burst = Math.max(1, maxRate);
  let tokens = burst;
  let filledAt = clock.monotonicMs();
  const budget = maxBytesPerHour === 0 ? undefined : createHourBudget(maxBytesPerHour, clock, store);

  const quietFor = (): number => {
    if (quietHours.length === 0) return 0;
    const now = Temporal.Instant.fromEpochMilliseconds(clock.now()).toZonedDateTimeISO(zone);
    const minute = now.hour * 60 + now.minute;
    const found = quietHours.find(([from, to]) =>
      from <= to ? minute >= from && minute < to : minute >= from || minute < to,
    );
    if (found === undefined) return 0;
    const minutes = (found[1] - minute + MINUTES_A_DAY) % MINUTES_A_DAY;
    return minutes * MINUTE_MS - now.second * 1000 - now.millisecond;
  };
  const rateFor = (count: number): number => {
    if (maxRate === 0) return 0;
    const now = clock.monotonicMs();
    tokens = Math.min(burst, tokens + ((now - filledAt) / 1000) * maxRate);
    filledAt = now;
    const needed = Math.min(count, burst);
    return tokens >= needed ? 0 : Math.ceil(((needed - tokens) / maxRate) * 1000);
  };

  return {
    limited: maxRate > 0 || maxBytesPerHour > 0 || quietHours.length > 0,
    closed: () => {
      const quiet = quietFor();
      if (quiet > 0) return { reason: 'quiet hours', forMs: quiet };
      const rest = budget?.wait(1) ?? 0;
      return rest > 0 ? { reason: 'the bytes of this hour are spent', forMs: rest } : undefined;
    },
    take: async (count, bytes, signal) => {
      for (;;) {
        signal.throwIfAborted();
        const wait = Math.max(quietFor(), budget?.wait(bytes) ?? 0, rateFor(count));
        if (wait <= 0) break;
        await clock.sleep(Math.min(wait, MINUTE_MS), signal);
      }
      tokens -= maxRate === 0 ? 0 : count;
      await budget?.spend(bytes);
    },
    close: async () => {
      await budget?.close();
    },
  };
}

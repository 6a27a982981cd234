/**
 * What a flow may use of its link: messages a second, bytes an hour (any sixty minutes in a row), and the hours in which
 * it rests. Quiet hours go by the wall clock in the zone of the process, the rest by elapsed time.
 */

import type { Clock } from '../../contracts/clock.ts';
import type { SyncLimits } from '../../contracts/resource.ts';

export interface Limiter {
  /** Why nothing may travel now and for how long, if so. */
  closed(): { readonly reason: string; readonly forMs: number } | undefined;
  /** Waits until `count` messages of `bytes` in all may travel, and counts them. */
  take(count: number, bytes: number, signal: AbortSignal): Promise<void>;
  readonly limited: boolean;
}

const HOUR_MS = 3_600_000;
const MINUTE_MS = 60_000;
const MINUTES_A_DAY = 24 * 60;

export function createLimiter(
  limits: SyncLimits,
  clock: Clock,
  zone: string = new Intl.DateTimeFormat().resolvedOptions().timeZone,
): Limiter {
  const { maxRate, maxBytesPerHour, quietHours } = limits;
  const burst = Math.max(1, maxRate);
  let tokens = burst;
  let filledAt = clock.monotonicMs();
  /** Bytes by minute, oldest first. */
  const spent: { at: number; bytes: number }[] = [];

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
  const budgetFor = (bytes: number): number => {
    if (maxBytesPerHour === 0) return 0;
    const now = clock.monotonicMs();
    while (spent[0] !== undefined && spent[0].at + HOUR_MS <= now) spent.shift();
    let total = spent.reduce((sum, entry) => sum + entry.bytes, 0);
    // What is larger than the budget goes alone, after an hour of rest.
    const room = Math.max(0, maxBytesPerHour - bytes);
    for (const entry of spent) {
      if (total <= room) break;
      total -= entry.bytes;
      if (total <= room) return entry.at + HOUR_MS - now;
    }
    return 0;
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
      const rest = budgetFor(1);
      return rest > 0 ? { reason: 'the bytes of this hour are spent', forMs: rest } : undefined;
    },
    take: async (count, bytes, signal) => {
      for (;;) {
        signal.throwIfAborted();
        const wait = Math.max(quietFor(), budgetFor(bytes), rateFor(count));
        if (wait <= 0) break;
        await clock.sleep(Math.min(wait, MINUTE_MS), signal);
      }
      tokens -= maxRate === 0 ? 0 : count;
      if (maxBytesPerHour === 0) return;
      const minute = Math.floor(clock.monotonicMs() / MINUTE_MS) * MINUTE_MS;
      const last = spent.at(-1);
      if (last?.at === minute) last.bytes += bytes;
      else spent.push({ at: minute, bytes });
    },
  };
}

/** Fires the app by schedule: cron fields, or `@every` with a Go duration (components reference, section 3.2). */

import { Cron } from 'croner';
import type { Binding, BindingHandler } from '../../../runtime/contracts/binding.ts';
import type { Clock, Timer } from '../../../runtime/contracts/clock.ts';
import type { ComponentDeps } from '../../../runtime/contracts/component.ts';
import { parseGoDuration } from '../../../runtime/contracts/duration.ts';
import { errorText } from '../../../runtime/contracts/error.ts';

/** Milliseconds from `now` to the next tick; `undefined` when there is none. */
export type NextTick = (now: number) => number | undefined;

const MIN_INTERVAL_MS = 1000;

/** Reads a schedule; throws with the item's name when it is neither cron fields nor a descriptor. */
export function parseSchedule(schedule: string): NextTick {
  const text = schedule.trim();
  if (text.startsWith('@every ')) {
    const interval = parseGoDuration(text.slice('@every '.length).trim());
    if (interval === undefined || interval <= 0)
      throw new Error(`metadata item 'schedule': expected a duration after @every, got '${schedule}'`);
    // Intervals count whole seconds from the second that has begun, at least one.
    const step = Math.max(MIN_INTERVAL_MS, Math.floor(interval / 1000) * 1000);
    return (now) => step - (now % 1000);
  }
  let cron: Cron;
  try {
    cron = new Cron(text === '@midnight' ? '@daily' : text === '@annually' ? '@yearly' : text, {
      paused: true,
    });
  } catch (error) {
    throw new Error(
      `metadata item 'schedule': expected 5 or 6 cron fields or a descriptor such as @every 5s, got '${schedule}': ${errorText(error)}`,
    );
  }
  return (now) => {
    const next = cron.nextRun(new globalThis.Date(now));
    return next === null ? undefined : next.getTime() - now;
  };
}

/** Go's default rendering of a UTC time, which apps get in `readTimeUTC`. */
function goTime(ms: number): string {
  const iso = new globalThis.Date(ms).toISOString();
  return `${iso.slice(0, 10)} ${iso.slice(11, 23)}000000 +0000 UTC`;
}

export function createCronBinding(
  schedule: string,
  deps: Pick<ComponentDeps, 'clock' | 'log' | 'componentName'>,
): Binding {
  const nextTick = parseSchedule(schedule);
  const readers = new Set<{ close(): Promise<void> }>();
  return {
    operations: [],
    init: async () => {},
    read: async (handler) => {
      const reader = startReader(nextTick, handler, deps.clock, (error) =>
        deps.log.error(`cron binding ${deps.componentName}: the app failed: ${errorText(error)}`),
      );
      readers.add(reader);
      return { close: () => reader.close().finally(() => readers.delete(reader)) };
    },
    close: async () => void (await Promise.all([...readers].map((reader) => reader.close()))),
  };
}

function startReader(
  nextTick: NextTick,
  handler: BindingHandler,
  clock: Clock,
  failed: (error: unknown) => void,
): { close(): Promise<void> } {
  const abort = new AbortController();
  const inFlight = new Set<Promise<unknown>>();
  let timer: Timer | undefined;
  const fire = (): void => {
    const metadata = { timeZone: 'Local', readTimeUTC: goTime(clock.now()) };
    // The answer is ignored and ticks may overlap, as in Dapr; a failure only shows in the log.
    const run = handler({ data: new Uint8Array(), metadata }, abort.signal)
      .catch(failed)
      .finally(() => inFlight.delete(run));
    inFlight.add(run);
    arm();
  };
  const arm = (): void => {
    const delay = nextTick(clock.now());
    if (delay !== undefined && !abort.signal.aborted) timer = clock.startTimer(Math.max(1, delay), fire);
  };
  arm();
  return {
    close: async () => {
      abort.abort(new Error('the binding is closing'));
      timer?.cancel();
      await Promise.allSettled(inFlight);
    },
  };
}

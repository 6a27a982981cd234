/** Fires the app by schedule: cron fields, or `@every` with a Go duration (components reference, section 3.2). */

import { Cron } from 'croner';
import type { Binding, BindingHandler } from '../../../runtime/contracts/binding.ts';
import type { Clock, Timer } from '../../../runtime/contracts/clock.ts';
import type { ComponentDeps } from '../../../runtime/contracts/component.ts';
import { parseGoDuration } from '../../../runtime/contracts/duration.ts';
import { errorText } from '../../../runtime/contracts/error.ts';

export interface Schedule {
  /** True when the schedule counts elapsed time, false when it names times of the wall clock. */
  readonly elapsed: boolean;
  /** Milliseconds from `now` to the next tick; `undefined` when there is none. */
  next(now: number): number | undefined;
}

const MIN_INTERVAL_MS = 1000;
/** Longest sleep of a schedule by the wall clock, which may be set meanwhile: then the clocks are looked at again. */
const MAX_WALL_SLEEP_MS = 60_000;
/** Longest sleep by elapsed time; timers of Node hold no more than 24.8 days. */
const MAX_ELAPSED_SLEEP_MS = 86_400_000;
/** Wall clock and elapsed time may differ by this much between two looks before the clock counts as set. */
const CLOCK_SET_MS = 1000;
/** Ticks that the app has not answered yet; with more of them under way a tick is skipped. */
const MAX_IN_FLIGHT = 64;

/** Reads a schedule; throws with the item's name when it is neither cron fields nor a descriptor. */
export function parseSchedule(schedule: string): Schedule {
  const text = schedule.trim();
  if (text.startsWith('@every ')) {
    const interval = parseGoDuration(text.slice('@every '.length).trim());
    if (interval === undefined || interval <= 0)
      throw new Error(`metadata item 'schedule': expected a duration after @every, got '${schedule}'`);
    // Intervals count whole seconds from the second that has begun, at least one.
    const step = Math.max(MIN_INTERVAL_MS, Math.floor(interval / 1000) * 1000);
    return { elapsed: true, next: (now) => step - (now % 1000) };
  }
  const cron = parseCron(text, schedule);
  return {
    elapsed: false,
    next: (now) => {
      const next = cron.nextRun(new globalThis.Date(now));
      return next === null ? undefined : next.getTime() - now;
    },
  };
}

/** Cron fields, with the time zone in front of them that Dapr's cron library knows. */
function parseCron(text: string, schedule: string): Cron {
  const zoned = /^(?:CRON_)?TZ=(\S+)\s+(.*)$/.exec(text);
  const fields = zoned?.[2] ?? text;
  const plain = fields === '@midnight' ? '@daily' : fields === '@annually' ? '@yearly' : fields;
  try {
    const cron = new Cron(plain, { paused: true, ...(zoned === null ? {} : { timezone: zoned[1] ?? '' }) });
    // A time zone that does not exist shows at first use only.
    cron.nextRun(new globalThis.Date(0));
    return cron;
  } catch (error) {
    throw new Error(
      `metadata item 'schedule': expected 5 or 6 cron fields or a descriptor such as @every 5s, got '${schedule}': ${errorText(error)}`,
    );
  }
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
  const parsed = parseSchedule(schedule);
  const readers = new Set<{ close(): Promise<void> }>();
  return {
    operations: [],
    init: async () => {},
    read: async (handler) => {
      const reader = startReader(parsed, handler, deps);
      readers.add(reader);
      return { close: () => reader.close().finally(() => readers.delete(reader)) };
    },
    close: async () => void (await Promise.all([...readers].map((reader) => reader.close()))),
  };
}

function startReader(
  schedule: Schedule,
  handler: BindingHandler,
  deps: Pick<ComponentDeps, 'clock' | 'log' | 'componentName'>,
): { close(): Promise<void> } {
  const { clock, log, componentName } = deps;
  const abort = new AbortController();
  const inFlight = new Set<Promise<unknown>>();
  const fire = (): void => {
    if (inFlight.size >= MAX_IN_FLIGHT) {
      log.warn(
        `cron binding ${componentName}: a tick was skipped, the app has not answered ${MAX_IN_FLIGHT}`,
      );
      return;
    }
    const metadata = { timeZone: 'Local', readTimeUTC: goTime(clock.now()) };
    // The answer is ignored and ticks may overlap, as in Dapr; a failure only shows in the log.
    const run = handler({ data: new Uint8Array(), metadata }, abort.signal)
      .catch((error) => log.error(`cron binding ${componentName}: the app failed: ${errorText(error)}`))
      .finally(() => inFlight.delete(run));
    inFlight.add(run);
  };
  const stop = runSchedule(schedule, clock, fire);
  return {
    close: async () => {
      abort.abort(new Error('the binding is closing'));
      stop();
      await Promise.allSettled(inFlight);
    },
  };
}

/** Calls `fire` at every tick until the result is called. A tick that a clock being set jumps over is not made up for. */
function runSchedule(schedule: Schedule, clock: Clock, fire: () => void): () => void {
  const longest = schedule.elapsed ? MAX_ELAPSED_SLEEP_MS : MAX_WALL_SLEEP_MS;
  let timer: Timer | undefined;
  const time = (): number => (schedule.elapsed ? clock.monotonicMs() : clock.now());
  const offset = (): number => clock.now() - clock.monotonicMs();
  const arm = (): void => {
    const delay = schedule.next(clock.now());
    if (delay !== undefined) sleep(time() + Math.max(1, delay));
  };
  const sleep = (due: number): void => {
    const before = offset();
    timer = clock.startTimer(Math.min(Math.max(1, due - time()), longest), () => {
      const wasSet = !schedule.elapsed && Math.abs(offset() - before) > CLOCK_SET_MS;
      if (!wasSet && time() < due) {
        sleep(due);
        return;
      }
      if (!wasSet) fire();
      arm();
    });
  };
  arm();
  return () => timer?.cancel();
}

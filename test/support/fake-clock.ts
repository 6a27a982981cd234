/** A clock that moves only when a test says so. */

import type { Clock, Timer } from '../../runtime/contracts/clock.ts';

export interface FakeClock extends Clock {
  /** Moves both clocks on and runs what became due, in order; promise reactions run in between. */
  advance(ms: number): Promise<void>;
  /** Sets the wall clock without elapsed time passing (NTP, an RTC that starts at 1970). */
  setWallClock(ms: number): void;
  /** Timers that wait. */
  readonly pending: number;
}

export function fakeClock(start = 1_700_000_000_000): FakeClock {
  let elapsed = 0;
  let offset = start;
  let order = 0;
  const timers = new Map<number, { due: number; run: () => void }>();

  const settle = async (): Promise<void> => {
    for (let turn = 0; turn < 20; turn += 1) await Promise.resolve();
  };
  const startTimer = (delayMs: number, run: () => void): Timer => {
    order += 1;
    const id = order;
    timers.set(id, { due: elapsed + Math.max(0, delayMs), run });
    return { cancel: () => void timers.delete(id) };
  };
  return {
    now: () => offset + elapsed,
    monotonicMs: () => elapsed,
    startTimer,
    sleep: (delayMs, signal) =>
      new Promise((resolve, reject) => {
        if (signal?.aborted === true) return reject(signal.reason);
        const timer = startTimer(delayMs, resolve);
        signal?.addEventListener(
          'abort',
          () => {
            timer.cancel();
            reject(signal.reason);
          },
          { once: true },
        );
      }),
    advance: async (ms) => {
      const end = elapsed + ms;
      await settle();
      for (;;) {
        const next = [...timers]
          .filter(([, t]) => t.due <= end)
          .sort((a, b) => a[1].due - b[1].due || a[0] - b[0])[0];
        if (next === undefined) break;
        timers.delete(next[0]);
        elapsed = Math.max(elapsed, next[1].due);
        next[1].run();
        await settle();
      }
      elapsed = end;
      await settle();
    },
    setWallClock: (ms) => {
      offset = ms - elapsed;
    },
    get pending() {
      return timers.size;
    },
  };
}

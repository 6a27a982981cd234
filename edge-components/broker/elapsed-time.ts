/**
 * The broker's time: elapsed milliseconds that go on where the last run's were noted, so that expiry of messages and
 * sessions and the delay of wills are untouched by a wall clock that jumps or starts at 1970. Time without power does
 * not count. It is noted together with other writes, at most once a second, and by itself only once a minute while
 * something waits for its time.
 */

import type { Clock, Timer } from '../../runtime/contracts/clock.ts';
import type { Database, SqlStep } from '../../runtime/contracts/database.ts';
import { elapsedClock } from '../drivers/sqlite/elapsed-clock.ts';
import { step } from './schema.ts';
import { storedNumber } from './stored-message.ts';

const NOTE_EVERY_MS = 1000;
/** `setTimeout` takes no more than 2^31 - 1. */
const LONGEST_TIMER_MS = 2 ** 30;

export class ElapsedTime {
  readonly now: () => number;
  readonly #clock: Clock;
  #noted: number;

  constructor(clock: Clock, database: Database) {
    this.#clock = clock;
    const base = storedNumber(database.read('SELECT elapsed_ms FROM mqtt_clock')[0]?.['elapsed_ms']) ?? 0;
    this.now = elapsedClock(clock, base);
    this.#noted = base;
  }

  /** The step that notes the time, when it is worth it. */
  note(): SqlStep | undefined {
    const now = this.now();
    if (now - this.#noted < NOTE_EVERY_MS) return undefined;
    this.#noted = now;
    return step('UPDATE mqtt_clock SET elapsed_ms = ? WHERE id = 1', now);
  }

  /** Notes the time at the end. */
  async close(database: Database): Promise<void> {
    const now = this.now();
    if (now > this.#noted) {
      await database.write([step('UPDATE mqtt_clock SET elapsed_ms = ? WHERE id = 1', now)]);
    }
  }

  /** A timer without an upper limit. */
  after(ms: number, run: () => void): Timer {
    let timer: Timer;
    const arm = (left: number): void => {
      const part = Math.min(left, LONGEST_TIMER_MS);
      timer = this.#clock.startTimer(part, () => (left > part ? arm(left - part) : run()), true);
    };
    arm(Math.max(0, ms));
    return { cancel: () => timer.cancel() };
  }
}

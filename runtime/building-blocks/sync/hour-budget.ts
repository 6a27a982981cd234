/**
 * Bytes in any sixty minutes in a row, by elapsed time. What was spent outlives a restart: the budget is set aside in the node's
 * database in steps of 1/64, before it is used, so that the card sees few writes; what was set aside counts as spent after a
 * power cut. Time without power cannot be measured and does not count, and a wall clock that jumps refills nothing.
 */

import type { Clock } from '../../contracts/clock.ts';

/** What is kept of a budget. */
export interface BudgetRow {
  /** How much time had elapsed for this budget, over all runs. */
  readonly elapsedMs: number;
  /** Bytes by the elapsed time at which they were spent, oldest first. */
  readonly spent: readonly (readonly [at: number, bytes: number])[];
}

export interface BudgetStore {
  read(): BudgetRow | undefined;
  /** Resolves when a restart would find it. */
  write(row: BudgetRow): Promise<void>;
  /** `row` is asked for now and then, when something is written anyway. */
  along(row: () => BudgetRow | undefined): void;
}

export interface HourBudget {
  /** Milliseconds until so many bytes may travel. */
  wait(bytes: number): number;
  /** Counts them; resolves when they would be known after a restart. */
  spend(bytes: number): Promise<void>;
  /** Gives back what was set aside and not used. */
  close(): Promise<void>;
}

const HOUR_MS = 3_600_000;
const MINUTE_MS = 60_000;
const STEPS = 64;

export function createHourBudget(maxBytes: number, clock: Clock, store: BudgetStore | undefined): HourBudget {
  const step = Math.max(1, Math.ceil(maxBytes / STEPS));
  let opened = false;
  let base = 0;
  const start = clock.monotonicMs();
  const elapsed = (): number => Math.floor(base + clock.monotonicMs() - start);
  let spent: { readonly at: number; bytes: number }[] = [];
  /** Set aside on disk beyond what is spent. */
  let ahead = 0;
  let kept: Promise<void> = Promise.resolve();

  /** Reads what an earlier run left; the store is there by the first use. */
  const open = (): void => {
    if (opened) return;
    opened = true;
    const row = store?.read();
    if (row !== undefined) {
      base = row.elapsedMs;
      spent = row.spent.map(([at, bytes]) => ({ at, bytes }));
    }
    store?.along(() => (forget() === 0 ? undefined : rowWith(ahead)));
  };
  /** Lets go what is older than an hour; the sum of the rest. */
  const forget = (): number => {
    const now = elapsed();
    while (spent[0] !== undefined && spent[0].at + HOUR_MS <= now) spent.shift();
    return spent.reduce((sum, { bytes }) => sum + bytes, 0);
  };
  const rowWith = (more: number): BudgetRow => {
    const now = elapsed();
    const entries = spent.map(({ at, bytes }): [number, number] => [at, bytes]);
    return { elapsedMs: now, spent: more === 0 ? entries : [...entries, [now, more]] };
  };

  /** A disk that takes nothing holds up nothing: it is tried again with the next bytes. */
  const keep = async (): Promise<void> => {
    await store?.write(rowWith(ahead)).catch(() => {
      ahead = 0;
    });
  };

  return {
    wait: (bytes) => {
      open();
      let total = forget();
      // What is larger than the budget goes alone, after an hour of rest.
      const room = Math.max(0, maxBytes - bytes);
      for (const { at, bytes: amount } of spent) {
        if (total <= room) break;
        total -= amount;
        if (total <= room) return at + HOUR_MS - elapsed();
      }
      return 0;
    },
    spend: async (bytes) => {
      open();
      const minute = Math.floor(elapsed() / MINUTE_MS) * MINUTE_MS;
      const last = spent.at(-1);
      if (last?.at === minute) last.bytes += bytes;
      else spent.push({ at: minute, bytes });
      ahead -= bytes;
      if (ahead < 0) {
        ahead = step - (-ahead % step || step);
        kept = keep();
      }
      // What another one set aside is used only when it is on disk.
      await kept;
    },
    close: async () => {
      await kept;
      ahead = 0;
      if (opened && forget() > 0) await keep();
    },
  };
}

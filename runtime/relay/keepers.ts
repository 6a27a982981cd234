/** Who keeps something for messages to come: a bounded number, each until nothing came for a while. */

import type { Clock, Timer } from '../contracts/clock.ts';

/** So many links and subscriptions keep what messages are packed against, for so long after the last one. */
const MAX_KEEPERS = 2048;
const KEPT_MS = 30_000;
const LOOK_MS = 15_000;

export interface Keeper {
  usedMs: number;
  release(): void;
}

export interface Keepers {
  /** Notes a use; false when there is no room for another. */
  use(keeper: Keeper): boolean;
  drop(keeper: Keeper): void;
  close(): void;
}

export function createKeepers(clock: Clock): Keepers {
  const held = new Set<Keeper>();
  let timer: Timer | undefined;
  const look = (): void => {
    const now = clock.monotonicMs();
    for (const keeper of held) {
      if (now - keeper.usedMs < KEPT_MS) continue;
      held.delete(keeper);
      keeper.release();
    }
    timer = held.size === 0 ? undefined : clock.startTimer(LOOK_MS, look, true);
  };
  return {
    use: (keeper) => {
      keeper.usedMs = clock.monotonicMs();
      if (!held.has(keeper) && held.size >= MAX_KEEPERS) return false;
      held.add(keeper);
      timer ??= clock.startTimer(LOOK_MS, look, true);
      return true;
    },
    drop: (keeper) => void held.delete(keeper),
    close: () => timer?.cancel(),
  };
}

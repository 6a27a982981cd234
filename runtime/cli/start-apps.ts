/**
 * The apps of a run file, one after the other: the next one starts when the one before it takes calls and messages, so
 * that a first message to an MQTT topic finds its subscriber. An app that takes long holds nobody up for ever.
 */

import type { HealthBlock } from '../contracts/blocks.ts';
import type { Clock } from '../contracts/clock.ts';

const LONGEST_WAIT_MS = 5000;
const LOOK_EVERY_MS = 50;

export interface OrderedApp {
  /** Undefined for an app without a port: there is nothing to wait for. */
  readonly health: HealthBlock | undefined;
  /** Starts the app; resolves when it has ended. */
  start(): Promise<unknown>;
}

/** Starts every app; stops starting when the signal aborts. */
export async function startApps(
  apps: readonly OrderedApp[],
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  for (const { health, start } of apps) {
    if (signal.aborted) return;
    let over = false;
    void start().then(() => {
      over = true;
    });
    const limit = clock.monotonicMs() + LONGEST_WAIT_MS;
    while (health !== undefined && !over && !isReady(health) && clock.monotonicMs() < limit) {
      await clock.sleep(LOOK_EVERY_MS, signal).catch(() => undefined);
      if (signal.aborted) return;
    }
  }
}

function isReady(health: HealthBlock): boolean {
  try {
    health.check(undefined);
    return true;
  } catch {
    return false;
  }
}

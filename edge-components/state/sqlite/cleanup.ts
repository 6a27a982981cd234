/** Removes expired rows now and then. Reads never see them, so this only gives their space back. */

import type { Clock, Timer } from '../../../runtime/contracts/clock.ts';
import { type Database, StepRefused } from '../../../runtime/contracts/database.ts';
import { errorText } from '../../../runtime/contracts/error.ts';
import type { Logger } from '../../../runtime/contracts/logger.ts';
import { CLEANUP_BATCH, type StateStatements } from './statements.ts';

/** Subtracted from the interval, or a timer that is a little early would skip a turn. */
const TOLERANCE_MS = 100;

export interface CleanupOptions {
  readonly database: Database;
  readonly statements: StateStatements;
  readonly intervalMs: number;
  readonly clock: Clock;
  readonly log: Logger;
  readonly timestamp: () => string;
}

/** Starts the interval; `close` waits for a run that is under way. */
export function startCleanup(options: CleanupOptions): { close(): Promise<void> } {
  let running: Promise<void> = Promise.resolve();
  let closed = false;
  let timer: Timer;
  const turn = (): void => {
    running = removeExpired(options, () => closed)
      .catch((error) => options.log.error('Removing expired state failed', { error: errorText(error) }))
      .finally(() => {
        if (!closed) timer = options.clock.startTimer(options.intervalMs, turn, true);
      });
  };
  timer = options.clock.startTimer(options.intervalMs, turn, true);
  return {
    close: async () => {
      closed = true;
      timer.cancel();
      await running;
    },
  };
}

async function removeExpired(options: CleanupOptions, isClosed: () => boolean): Promise<void> {
  const { database, statements, timestamp, intervalMs } = options;
  const now = timestamp();
  try {
    const claim = { sql: statements.claimCleanup, params: [now, intervalMs - TOLERANCE_MS], atLeast: 1 };
    await database.write([claim]);
  } catch (error) {
    if (error instanceof StepRefused) return; // Another process did it within this interval.
    throw error;
  }
  let removed = 0;
  for (let changes = CLEANUP_BATCH; changes === CLEANUP_BATCH && !isClosed(); removed += changes) {
    const [result] = await database.write([{ sql: statements.removeExpired, params: [now] }]);
    changes = result?.changes ?? 0;
  }
  options.log.debug(`Removed ${removed} expired rows`);
}

/** A database pool over a directory of a test, with the writer thread running from source. */

import { join } from 'node:path';
import { createDatabasePool } from '../../edge-components/drivers/sqlite/database-pool.ts';
import {
  createSpoolSource,
  type OpenSpoolSource,
  type SpoolSourceOptions,
} from '../../edge-components/drivers/sqlite/spool-source.ts';
import type { Clock } from '../../runtime/contracts/clock.ts';
import type { DatabasePool } from '../../runtime/contracts/database.ts';
import { countingIds } from './counting-ids.ts';
import { fakeClock } from './fake-clock.ts';
import { recordingLogger } from './recording-logger.ts';
import { seededRandom } from './seeded-random.ts';

export interface PoolSetup {
  readonly clock?: Clock;
  readonly onFatal?: (error: Error) => void;
  readonly workerEntry?: URL;
}

export function openPool(directory: string, setup: PoolSetup = {}): DatabasePool {
  return createDatabasePool({
    workerEntry: setup.workerEntry ?? new URL('./writer-entry.ts', import.meta.url),
    systemPath: join(directory, 'system.db'),
    log: recordingLogger(),
    clock: setup.clock ?? fakeClock(),
    onFatal: setup.onFatal ?? (() => undefined),
  });
}

/** The queues of a pool, with counted ids and a seed of its own. */
export function openSpools(
  databases: DatabasePool,
  clock: Clock,
  more: Partial<SpoolSourceOptions> = {},
): OpenSpoolSource {
  return createSpoolSource({
    databases,
    clock,
    ids: countingIds(),
    random: seededRandom(1),
    log: recordingLogger(),
    metrics: { count: () => undefined, observe: () => undefined, gauge: () => undefined },
    ...more,
  });
}

/** Turns of the event loop until `condition` holds; rejects when it never does. */
export async function until(condition: () => boolean, turns = 200_000): Promise<void> {
  for (let turn = 0; turn < turns; turn += 1) {
    if (condition()) return;
    await new Promise(setImmediate);
  }
  throw new Error('the condition never held');
}

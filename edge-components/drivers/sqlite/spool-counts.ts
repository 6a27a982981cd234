/** The ledger of a queue as people see it. */

import type { Database } from '../../../runtime/contracts/database.ts';
import type { SpoolCounts } from '../../../runtime/contracts/spool.ts';
import { acceptedAtOf } from './spool-record.ts';
import { SPOOL_SQL, type SpoolCounters } from './spool-schema.ts';

const LANES = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9];

/** Counts of one queue; the oldest message is looked up by index, whatever the length of the queue. */
export function spoolCounts(
  database: Database,
  queueId: number,
  counters: Readonly<SpoolCounters>,
  lastError: string | undefined,
): SpoolCounts {
  const oldestAcceptedAt = counters.pending === 0 ? undefined : oldest(database, queueId);
  return {
    accepted: counters.accepted,
    delivered: counters.delivered,
    pending: counters.pending,
    parked: counters.parked,
    dropped: {
      expired: counters.expired,
      full: counters.full,
      removed: counters.removed,
      damaged: counters.damaged,
    },
    pendingBytes: counters.pendingBytes,
    ...(oldestAcceptedAt === undefined ? {} : { oldestAcceptedAt }),
    ...(lastError === undefined ? {} : { lastError }),
  };
}

function oldest(database: Database, queueId: number): number | undefined {
  const firsts = LANES.map((lane) => database.read(SPOOL_SQL.oldestOfLane, [queueId, lane, 1])[0]);
  firsts.push(database.read(SPOOL_SQL.oldestParked, [queueId, 1])[0]);
  const sequences = firsts.filter((row) => row !== undefined).map((row) => Number(row['sequence']));
  if (sequences.length === 0) return undefined;
  const row = database.read(SPOOL_SQL.acceptedAt, [Math.min(...sequences)])[0];
  return row === undefined ? undefined : acceptedAtOf(row);
}

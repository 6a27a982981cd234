/** Looks at messages of all queues one by one, and acts on them through the queue that holds them. */

import type { Database, SqlValue } from '../../../runtime/contracts/database.ts';
import type { SpoolDesk, SpoolEntry } from '../../../runtime/contracts/spool.ts';
import { holdsId, idBytes } from './spool-gone.ts';
import type { SpoolQueue } from './spool-queue.ts';
import { acceptedAtOf, contentOf, idOf } from './spool-record.ts';
import { messageById } from './spool-search.ts';

type Row = Readonly<Record<string, SqlValue>>;

export interface SpoolDeskParts {
  /** The database, once what was decided is on disk. */
  readonly database: () => Promise<Database>;
  /** The queue of this name, opened for the call when nobody holds it open. */
  readonly withQueue: <T>(name: string, use: (queue: SpoolQueue) => Promise<T>) => Promise<T>;
}

const MAX_LIMIT = 1000;

export function createSpoolDesk({ database, withQueue }: SpoolDeskParts): SpoolDesk {
  const rowOf = async (id: string): Promise<Row | undefined> => messageById(await database(), id);
  const nameOf = async (queueId: SqlValue | undefined): Promise<string> => {
    const row = (await database()).read('SELECT name FROM skerry_spool_queue WHERE id = ?', [
      Number(queueId),
    ])[0];
    return row === undefined ? '' : String(row['name']);
  };
  const gone = async (id: string): Promise<SpoolEntry | undefined> => {
    const wanted = idBytes(id);
    if (wanted.length === 0) return undefined;
    const batches = (await database()).read('SELECT queue, why, ended_at, ids FROM skerry_spool_gone');
    const batch = batches.find((one) => holdsId(one['ids'] as Uint8Array, wanted));
    if (batch === undefined) return undefined;
    const why = String(batch['why']);
    return {
      id,
      queue: await nameOf(batch['queue']),
      state: why === 'delivered' ? 'delivered' : 'dropped',
      ...(why === 'delivered' ? {} : { reason: why }),
      endedAt: Number(batch['ended_at']),
    };
  };
  const parkedById = async (id: string): Promise<readonly Row[]> => {
    const row = await rowOf(id);
    return row?.['parked'] === 1 ? [row] : [];
  };
  const parkedOf = async (queue: string): Promise<readonly Row[]> =>
    (await database()).read(
      `SELECT * FROM skerry_spool_message WHERE parked = 1
        AND queue = (SELECT id FROM skerry_spool_queue WHERE name = ?) ORDER BY sequence LIMIT ?`,
      [queue, MAX_LIMIT],
    );
  return {
    async list({ queue, state, after, limit }) {
      const conditions = ['sequence > ?'];
      const params: SqlValue[] = [after === undefined ? 0 : Number((await rowOf(after))?.['sequence'] ?? 0)];
      if (queue !== undefined) {
        conditions.push('queue = (SELECT id FROM skerry_spool_queue WHERE name = ?)');
        params.push(queue);
      }
      if (state !== undefined) conditions.push(state === 'parked' ? 'parked = 1' : 'parked = 0');
      params.push(Math.min(Math.max(1, limit), MAX_LIMIT));
      const rows = (await database()).read(
        `SELECT m.*, q.name AS queue_name FROM (SELECT * FROM skerry_spool_message
          WHERE ${conditions.join(' AND ')} ORDER BY sequence LIMIT ?) m
          JOIN skerry_spool_queue q ON q.id = m.queue ORDER BY m.sequence`,
        params,
      );
      return rows.map((row) => entryOf(row, String(row['queue_name'])));
    },
    async find(id) {
      // Those that left first: it is a short look, and most that are asked for did.
      const left = await gone(id);
      if (left !== undefined) return left;
      const row = await rowOf(id);
      if (row !== undefined) return entryOf(row, await nameOf(row['queue']));
      return undefined;
    },
    async content(id) {
      const row = await rowOf(id);
      return row === undefined ? undefined : contentOf(row);
    },
    async retry(which) {
      const rows = 'id' in which ? await parkedById(which.id) : await parkedOf(which.queue);
      if (rows.length === 0) return 0;
      await withQueue(await nameOf(rows[0]?.['queue']), (queue) =>
        Promise.all(rows.map((row) => queue.release(row))),
      );
      return rows.length;
    },
    async drop(id) {
      const row = await rowOf(id);
      if (row === undefined) return 'absent';
      const removed = await withQueue(await nameOf(row['queue']), (queue) => queue.remove(row));
      return removed ? 'dropped' : 'busy';
    },
  };
}

function entryOf(row: Row, queue: string): SpoolEntry {
  const error = row['error'];
  return {
    id: idOf(row),
    queue,
    state: row['parked'] === 1 ? 'parked' : 'pending',
    key: String(row['key']),
    priority: Number(row['priority']),
    bytes: Number(row['bytes']),
    acceptedAt: acceptedAtOf(row),
    attempts: Number(row['attempts']),
    ...(typeof error === 'string' ? { error } : {}),
  };
}

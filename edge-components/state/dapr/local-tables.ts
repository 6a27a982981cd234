/**
 * What `state.dapr` in mode local-first has on disk, in the node's database. A change of an app and its place in the queue to
 * the far side are one write: neither is ever there without the other.
 *
 * `skerry_local_state` holds the value of a key as the apps of this side see it (`value` is NULL for one that is deleted
 * here and not yet over there), its ETag on this side, the far ETag where it is known, and how many queued changes it has.
 * `skerry_local_state_queue` holds the changes that the far side does not have, in their order.
 */

import type { Migration, SqlStep } from '../../../runtime/contracts/database.ts';

export const LOCAL_STATE_MIGRATION: Migration = {
  metadataTable: 'skerry_schema',
  key: 'local-state',
  levels: [
    [
      `CREATE TABLE skerry_local_state (owner TEXT NOT NULL, key TEXT NOT NULL, value TEXT, etag TEXT NOT NULL,
        far_etag TEXT, pending INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (owner, key)) WITHOUT ROWID`,
      `CREATE TABLE skerry_local_state_queue (sequence INTEGER PRIMARY KEY AUTOINCREMENT, owner TEXT NOT NULL,
        bytes INTEGER NOT NULL, change TEXT NOT NULL)`,
      'CREATE INDEX skerry_local_state_next ON skerry_local_state_queue (owner, sequence)',
    ],
  ],
};

const STATE = 'skerry_local_state';
const QUEUE = 'skerry_local_state_queue';
const ROW = 'owner = ? AND key = ?';

export const LOCAL_SQL = {
  row: `SELECT value, etag, far_etag, pending FROM ${STATE} WHERE ${ROW}`,
  next: `SELECT sequence, bytes, change FROM ${QUEUE} WHERE owner = ? ORDER BY sequence LIMIT ?`,
  depth: `SELECT count(*) AS messages, coalesce(sum(bytes), 0) AS bytes FROM ${QUEUE} WHERE owner = ?`,
};

/** What a change of one key demands of the value that is here. */
export type Demand = 'nothing' | 'absent' | { readonly etag: string };

/** The change of one key; refused (`atLeast`) when its demand is not met at the moment of the write. */
export function changeStep(
  owner: string,
  key: string,
  value: string | null,
  etag: string,
  demand: Demand,
): SqlStep {
  if (typeof demand === 'object') {
    return {
      sql: `UPDATE ${STATE} SET value = ?, etag = ?, pending = pending + 1 WHERE ${ROW} AND etag = ? AND value IS NOT NULL`,
      params: [value, etag, owner, key, demand.etag],
      atLeast: 1,
    };
  }
  const insert = `INSERT INTO ${STATE} (owner, key, value, etag, pending) VALUES (?, ?, ?, ?, 1) ON CONFLICT (owner, key)
    DO UPDATE SET value = excluded.value, etag = excluded.etag, pending = pending + 1`;
  const params = [owner, key, value, etag];
  if (demand === 'nothing') return { sql: insert, params };
  return { sql: `${insert} WHERE ${STATE}.value IS NULL`, params, atLeast: 1 };
}

export function queueStep(owner: string, change: string): SqlStep {
  return {
    sql: `INSERT INTO ${QUEUE} (owner, bytes, change) VALUES (?, ?, ?)`,
    params: [owner, change.length, change],
  };
}

/** Takes changes out of the queue; `keys` once per change of the key. What is deleted on both sides is forgotten. */
export function settleSteps(
  owner: string,
  sequences: readonly number[],
  keys: readonly string[],
): readonly SqlStep[] {
  const steps: SqlStep[] = sequences.map((sequence) => ({
    sql: `DELETE FROM ${QUEUE} WHERE sequence = ?`,
    params: [sequence],
  }));
  for (const [key, times] of Map.groupBy(keys, (key) => key)) {
    steps.push(
      {
        sql: `UPDATE ${STATE} SET pending = pending - ?, far_etag = NULL WHERE ${ROW}`,
        params: [times.length, owner, key],
      },
      { sql: `DELETE FROM ${STATE} WHERE ${ROW} AND value IS NULL AND pending <= 0`, params: [owner, key] },
    );
  }
  return steps;
}

/** What the far side has, unless a change of this side is on its way there. `undefined`: it has nothing. */
export function adoptSteps(
  owner: string,
  key: string,
  far: { readonly value: string; readonly etag: string | undefined } | undefined,
  etag: string,
): readonly SqlStep[] {
  if (far === undefined)
    return [{ sql: `DELETE FROM ${STATE} WHERE ${ROW} AND pending <= 0`, params: [owner, key] }];
  // An unchanged value keeps its ETag: an app that read it has read what is true.
  return [
    {
      sql: `INSERT INTO ${STATE} (owner, key, value, etag, far_etag) VALUES (?, ?, ?, ?, ?) ON CONFLICT (owner, key)
        DO UPDATE SET etag = CASE WHEN value IS excluded.value THEN etag ELSE excluded.etag END, value = excluded.value,
        far_etag = excluded.far_etag WHERE ${STATE}.pending <= 0`,
      params: [owner, key, far.value, etag, far.etag ?? null],
    },
  ];
}

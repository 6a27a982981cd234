/**
 * The SQL of `state.sqlite` for one pair of table names. The tables are those of Dapr's component of the same type, so
 * that either opens the other's file. Values travel as bytes and are stored as text: JSON as it is, bytes as base64.
 */

import type { Migration } from '../../../runtime/contracts/database.ts';

export interface StateStatements {
  readonly get: string;
  readonly getMany: string;
  readonly keysLike: string;
  readonly upsert: string;
  readonly insertFirst: string;
  readonly update: string;
  readonly remove: string;
  readonly removeExact: string;
  readonly claimCleanup: string;
  readonly removeExpired: string;
  readonly migrations: readonly Migration[];
}

/** Rows that one cleanup step removes, so that it never holds up other writes for long. */
export const CLEANUP_BATCH = 1000;

export function stateStatements(table: string, metadataTable: string): StateStatements {
  const columns = 'CAST(value AS BLOB) AS value, is_binary, etag, expiration_time';
  const alive = '(expiration_time IS NULL OR expiration_time > ?)';
  const insert =
    `INSERT INTO "${table}" (key, value, is_binary, etag, update_time, expiration_time) ` +
    'VALUES (?, CAST(? AS TEXT), ?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value, ' +
    'is_binary = excluded.is_binary, etag = excluded.etag, update_time = excluded.update_time, ' +
    'expiration_time = excluded.expiration_time';
  return {
    get: `SELECT ${columns} FROM "${table}" WHERE key = ? AND ${alive}`,
    getMany: `SELECT key, ${columns} FROM "${table}" WHERE key IN (SELECT value FROM json_each(?)) AND ${alive} ORDER BY key`,
    // GLOB heeds the case, as LIKE does not.
    keysLike: `SELECT key, rowid AS place FROM "${table}" WHERE key GLOB ? AND rowid > ? AND ${alive} ORDER BY rowid LIMIT ?`,
    upsert: insert,
    insertFirst: `${insert} WHERE expiration_time IS NOT NULL AND expiration_time <= ?`,
    update:
      `UPDATE "${table}" SET value = CAST(? AS TEXT), is_binary = ?, etag = ?, update_time = ?, expiration_time = ? ` +
      `WHERE key = ? AND etag = ? AND ${alive}`,
    remove: `DELETE FROM "${table}" WHERE key = ?`,
    removeExact: `DELETE FROM "${table}" WHERE key = ? AND etag = ?`,
    // The row makes several processes on one file share one interval.
    claimCleanup:
      `INSERT INTO "${metadataTable}" (key, value) VALUES ('last-cleanup', ?) ON CONFLICT (key) ` +
      'DO UPDATE SET value = excluded.value WHERE (unixepoch(excluded.value) - unixepoch(value)) * 1000 > ?',
    removeExpired:
      `DELETE FROM "${table}" WHERE key IN (SELECT key FROM "${table}" ` +
      `WHERE expiration_time IS NOT NULL AND expiration_time < ? LIMIT ${CLEANUP_BATCH})`,
    migrations: [
      {
        metadataTable,
        key: 'migrations',
        levels: [
          [
            // The table may be older than the metadata table.
            `CREATE TABLE IF NOT EXISTS "${table}" (key TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL, ` +
              'is_binary BOOLEAN NOT NULL, etag TEXT NOT NULL, expiration_time TIMESTAMP DEFAULT NULL, ' +
              'update_time TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP)',
          ],
        ],
      },
    ],
  };
}

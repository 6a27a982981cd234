/**
 * Brings a file to the schema its user expects. The level stands as a decimal text in a key/value table, which is the
 * layout Dapr's own SQLite components use, so that either can open the other's file.
 */

import type Database from 'better-sqlite3';
import { DatabaseError, type Migration } from '../../../runtime/contracts/database.ts';

/** Applies what is missing in one exclusive transaction; a file that is up to date is not locked at all. */
export function migrate(connection: Database.Database, migrations: readonly Migration[]): void {
  if (migrations.every((migration) => level(connection, migration) >= migration.levels.length)) return;
  connection.exec('BEGIN EXCLUSIVE');
  try {
    for (const migration of migrations) advance(connection, migration);
    connection.exec('COMMIT');
  } catch (error) {
    if (connection.inTransaction) connection.exec('ROLLBACK');
    throw error;
  }
}

function advance(connection: Database.Database, migration: Migration): void {
  const table = quoted(migration.metadataTable);
  connection.exec(`CREATE TABLE IF NOT EXISTS ${table} (key text NOT NULL PRIMARY KEY, value text NOT NULL)`);
  // Read again: another process may have migrated the file between the first look and the lock.
  const from = level(connection, migration);
  if (from >= migration.levels.length) return;
  for (const statements of migration.levels.slice(from)) {
    for (const statement of statements) connection.exec(statement);
  }
  connection
    .prepare(`INSERT OR REPLACE INTO ${table} (key, value) VALUES (?, ?)`)
    .run(migration.key, String(migration.levels.length));
}

function level(connection: Database.Database, migration: Migration): number {
  const exists = connection
    .prepare("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?")
    .get(migration.metadataTable);
  if (exists === undefined) return 0;
  const row = connection
    .prepare<string[], { value: string }>(
      `SELECT value FROM ${quoted(migration.metadataTable)} WHERE key = ?`,
    )
    .get(migration.key);
  if (row === undefined) return 0;
  if (!/^\d+$/.test(String(row.value))) {
    throw new DatabaseError(
      'SKERRY_MIGRATION',
      `table '${migration.metadataTable}' has an invalid migration level '${row.value}' in row '${migration.key}'`,
    );
  }
  return Number(row.value);
}

function quoted(identifier: string): string {
  if (!/^\w+$/.test(identifier)) {
    throw new DatabaseError('SKERRY_MIGRATION', `'${identifier}' is not a table name`);
  }
  return `"${identifier}"`;
}

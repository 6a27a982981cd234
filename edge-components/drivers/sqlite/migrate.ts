/**
 * Brings a file to the schema its user expects. The level stands as a decimal text in a key/value table, which is the
 * layout Dapr's own SQLite components use, so that either can open the other's file.
 */

import type Database from 'better-sqlite3';
import { DatabaseError, type Migration } from '../../../runtime/contracts/database.ts';
import { errorText } from '../../../runtime/contracts/error.ts';
import { SALVAGED_TABLE } from './salvaged-table.ts';

/**
 * Applies what is missing in one exclusive transaction; a file that is up to date is not locked at all. The first user
 * of its tables in a salvaged file makes what was salvaged consistent. `own`: only this program writes the file.
 */
export function migrate(
  connection: Database.Database,
  migrations: readonly Migration[],
  { own = false }: { readonly own?: boolean } = {},
): void {
  const unrepaired = isSalvaged(connection) ? migrations.filter((one) => !isRepaired(connection, one)) : [];
  const upToDate = migrations.every(
    (migration) => level(connection, migration, own) >= migration.levels.length,
  );
  if (upToDate && unrepaired.length === 0) return;
  connection.exec('BEGIN EXCLUSIVE');
  try {
    for (const migration of migrations) advance(connection, migration, own);
    for (const { key, repair = [] } of unrepaired) {
      for (const statement of repair) connection.exec(statement);
      connection.prepare(`INSERT OR IGNORE INTO ${SALVAGED_TABLE} (key) VALUES (?)`).run(key);
    }
    connection.exec('COMMIT');
  } catch (error) {
    if (connection.inTransaction) connection.exec('ROLLBACK');
    throw error;
  }
}

/**
 * The level may be lost while the tables are there: with its page in a salvaged file, by one bit that no check notices in
 * the node's own. A step that finds them made what it makes ran before, and so did what it does to the rows.
 */
function runLevel(connection: Database.Database, statements: readonly string[], mayHaveRun: boolean): void {
  let ranBefore = false;
  for (const statement of statements) {
    if (ranBefore && !/^\s*(?:CREATE|ALTER)\b/i.test(statement)) continue;
    try {
      connection.exec(statement);
    } catch (error) {
      if (!mayHaveRun || !/already exists|duplicate column name/.test(errorText(error))) throw error;
      ranBefore = true;
    }
  }
}

function isSalvaged(connection: Database.Database): boolean {
  const sql = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?";
  return connection.prepare(sql).get(SALVAGED_TABLE) !== undefined;
}

function isRepaired(connection: Database.Database, { key }: Migration): boolean {
  return connection.prepare(`SELECT 1 FROM ${SALVAGED_TABLE} WHERE key = ?`).get(key) !== undefined;
}

function advance(connection: Database.Database, migration: Migration, own: boolean): void {
  const table = quoted(migration.metadataTable);
  connection.exec(`CREATE TABLE IF NOT EXISTS ${table} (key text NOT NULL PRIMARY KEY, value text NOT NULL)`);
  // Read again: another process may have migrated the file between the first look and the lock.
  const from = level(connection, migration, own);
  if (from >= migration.levels.length) return;
  const mayHaveRun = own || isSalvaged(connection);
  for (const statements of migration.levels.slice(from)) runLevel(connection, statements, mayHaveRun);
  connection
    .prepare(`INSERT OR REPLACE INTO ${table} (key, value) VALUES (?, ?)`)
    .run(migration.key, String(migration.levels.length));
}

function level(connection: Database.Database, migration: Migration, own: boolean): number {
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
    if (own) return 0;
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

/**
 * A copy of the database's schema in a small file beside it. With it a file whose first page is lost can still be
 * salvaged, and a file that is gone is known to have been there.
 */

import { closeSync, existsSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs';
import type Database from 'better-sqlite3';
import type { DamagedTrees } from './damaged-trees.ts';
import type { SchemaEntry } from './salvage-rows.ts';

export interface SchemaCopy {
  readonly pageSize: number;
  readonly entries: readonly SchemaEntry[];
}

const suffix = '.schema';

/** The copy beside `path`, if there is a readable one. */
export function knownSchema(path: string): SchemaCopy | undefined {
  if (!existsSync(path + suffix)) return undefined;
  try {
    const copy = JSON.parse(readFileSync(path + suffix, 'utf8')) as SchemaCopy;
    return Array.isArray(copy.entries) ? copy : undefined;
  } catch {
    return undefined;
  }
}

/** Brings the copy up to date; a failure to write it costs nothing but the copy. */
export function copySchema(path: string, connection: Database.Database): void {
  const entries = connection
    .prepare('SELECT type, name, tbl_name AS "table", rootpage AS root, sql FROM sqlite_master')
    .all() as SchemaEntry[];
  const text = JSON.stringify({ pageSize: connection.pragma('page_size', { simple: true }), entries });
  try {
    if (existsSync(path + suffix) && readFileSync(path + suffix, 'utf8') === text) return;
    const file = openSync(`${path}${suffix}-new`, 'w', 0o600);
    try {
      writeSync(file, text);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(`${path}${suffix}-new`, path + suffix);
  } catch {
    // A full disk: the next start tries again.
  }
}

/** What the file itself says, as far as it can be read. */
export function masterEntries(trees: DamagedTrees): SchemaEntry[] {
  const entries: SchemaEntry[] = [];
  for (const { values } of trees.walk(1, 'table').rows) {
    const [type, name, table, root, sql] = values;
    if (typeof type !== 'string' || typeof name !== 'string' || typeof table !== 'string') continue;
    entries.push({ type, name, table, root: Number(root ?? 0), sql: typeof sql === 'string' ? sql : null });
  }
  return entries;
}

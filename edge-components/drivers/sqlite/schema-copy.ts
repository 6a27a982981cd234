/**
 * A copy of the database's schema in a small file beside it. With it a file whose first page is lost can still be
 * salvaged, and a file that is gone is known to have been there.
 */

import { closeSync, existsSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs';
import { crc32 } from 'node:zlib';
import type Database from 'better-sqlite3';
import type { DamagedTrees } from './damaged-trees.ts';
import type { SchemaEntry } from './salvage-rows.ts';

export interface SchemaCopy {
  readonly pageSize: number;
  readonly entries: readonly SchemaEntry[];
  /** CRC-32 of the rest; copies of earlier versions have none. */
  readonly crc?: number;
}

const suffix = '.schema';

/** The schema as `SchemaEntry`s. */
export const SCHEMA_SQL = 'SELECT type, name, tbl_name AS "table", rootpage AS root, sql FROM sqlite_master';

/** The copy beside `path`, if there is a readable one. */
export function knownSchema(path: string): SchemaCopy | undefined {
  if (!existsSync(path + suffix)) return undefined;
  try {
    const copy = JSON.parse(readFileSync(path + suffix, 'utf8')) as SchemaCopy;
    if (!Array.isArray(copy.entries)) return undefined;
    const { pageSize, entries, crc } = copy;
    return crc === undefined || crc === crcOf({ pageSize, entries }) ? copy : undefined;
  } catch {
    return undefined;
  }
}

function crcOf(copy: SchemaCopy): number {
  return crc32(JSON.stringify(copy));
}

/**
 * A definition in the file that says something else than its certain copy, and in as many letters: no change to the
 * schema does that, a wrong bit does. SQLite's own check does not look at it, and the next statement would fail.
 */
export function definitionFault(path: string, own: readonly SchemaEntry[]): string | undefined {
  const copy = knownSchema(path);
  if (copy?.crc === undefined) return undefined;
  for (const entry of own) {
    const twin = copy.entries.find((one) =>
      entry.root > 0 ? one.root === entry.root : one.type === entry.type && one.name === entry.name,
    );
    if (twin !== undefined && isAltered(entry, twin)) return `the definition of ${twin.name} is damaged`;
  }
  return undefined;
}

function isAltered(entry: SchemaEntry, twin: SchemaEntry): boolean {
  let altered = false;
  for (const part of ['type', 'name', 'table', 'sql'] as const) {
    if (entry[part]?.length !== twin[part]?.length) return false;
    altered ||= entry[part] !== twin[part];
  }
  return altered;
}

/** Brings the copy up to date; a failure to write it costs nothing but the copy. */
export function copySchema(path: string, connection: Database.Database): void {
  const entries = connection.prepare(SCHEMA_SQL).all() as SchemaEntry[];
  const copy: SchemaCopy = { pageSize: Number(connection.pragma('page_size', { simple: true })), entries };
  const text = JSON.stringify({ ...copy, crc: crcOf(copy) });
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

/**
 * Opens a database file for writing and makes sure that it is one. A damaged file is set aside and what can be read of
 * it is salvaged; nobody has to come for that.
 */

import { closeSync, existsSync, fsyncSync, openSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { scanWal } from './damaged-wal.ts';
import { failureRecord } from './database-errors.ts';
import { readAt, withFile } from './read-file.ts';
import { finishSalvage, type SalvageReport, salvage } from './salvage.ts';
import type { SchemaEntry } from './salvage-rows.ts';
import { definitionFault, knownSchema, SCHEMA_SQL } from './schema-copy.ts';
import { WriteConnection, type WriteConnectionOptions } from './write-connection.ts';

/** Files up to this size are checked whole at every start; of larger ones the check would delay it for long. */
const CHECKED_BYTES = 32 * 1024 * 1024;
const MAGIC = 'SQLite format 3\0';
const HEADER = 100;

/** A note of a running node that the file turned out to be damaged: the next start checks it whole. */
export function markSuspect(path: string): void {
  try {
    writeFileSync(`${path}.suspect`, '', { mode: 0o600 });
  } catch {
    // The disk is gone as well.
  }
}

/** The connection, and a report when the file had to be salvaged. */
export function openChecked(options: WriteConnectionOptions): {
  readonly connection: WriteConnection;
  readonly report?: SalvageReport;
} {
  const { path } = options;
  finishSalvage(path);
  syncWal(path);
  const before = damageBefore(options);
  if (before === undefined) {
    let connection: WriteConnection | undefined;
    try {
      connection = new WriteConnection(options);
      const fault = checked(connection, path);
      if (fault === undefined) return { connection };
      connection.close();
      return salvaged(options, fault);
    } catch (error) {
      const { code, message } = failureRecord(error);
      const damaged = code.startsWith('SQLITE_CORRUPT') || code.startsWith('SQLITE_NOTADB');
      if (!damaged || !mayReplace(options)) throw error;
      return salvaged(options, message);
    }
  }
  return salvaged(options, before);
}

function salvaged(
  options: WriteConnectionOptions,
  reason: string,
): { connection: WriteConnection; report: SalvageReport } {
  const report = salvage(options.path, reason);
  rmSync(`${options.path}.suspect`, { force: true });
  return { connection: new WriteConnection(options), report };
}

/** Another program's file, named by mistake, is none of ours to replace. */
function mayReplace({ path, own }: WriteConnectionOptions): boolean {
  return own === true || beginsLikeDatabase(path);
}

function beginsLikeDatabase(path: string): boolean {
  return withFile(path, (file) => readAt(file, 0, 16).toString('latin1') === MAGIC) ?? false;
}

/** Damage that SQLite would not notice, or that its own opening would make worse. */
function damageBefore(options: WriteConnectionOptions): string | undefined {
  const { path } = options;
  const size = existsSync(path) ? statSync(path).size : 0;
  if (size === 0) {
    if (options.own !== true || knownSchema(path) === undefined) return undefined;
    return 'the file is empty or gone';
  }
  if (!mayReplace(options)) return undefined;
  // With a rollback journal the beginning may be half written: SQLite puts it back.
  if (!beginsLikeDatabase(path) && !existsSync(`${path}-journal`))
    return 'the file does not begin like a database';
  if (size >= HEADER && headerFault(path)) return 'the header of the file is damaged';
  const lostFrames = scanWal(`${path}-wal`)?.damagedFrames ?? 0;
  if (lostFrames > 0) return `${lostFrames} frames of the write-ahead log are damaged`;
  return undefined;
}

/** Versions of the format that none of ours has: SQLite takes them for a file it may not write, or not read. */
function headerFault(path: string): boolean {
  const header = withFile(path, (file) => readAt(file, 0, HEADER));
  if (header === undefined || existsSync(`${path}-journal`)) return false;
  const isVersion = (at: number): boolean => header[at] === 1 || header[at] === 2;
  return !isVersion(18) || !isVersion(19) || header.readUInt32BE(44) > 4;
}

/** What SQLite's own check finds; undefined when all is well. */
function checked(connection: WriteConnection, path: string): string | undefined {
  const altered = definitionFault(path, connection.read(SCHEMA_SQL, []) as unknown as SchemaEntry[]);
  if (altered !== undefined) return altered;
  const suspect = existsSync(`${path}.suspect`);
  if (!suspect && statSync(path).size > CHECKED_BYTES) return shortOf(path, connection);
  const fault = connection.integrity();
  if (fault === undefined && suspect) rmSync(`${path}.suspect`, { force: true });
  return fault;
}

/** A file that is shorter than it should be: pages of it are neither there nor in the WAL. */
function shortOf(path: string, connection: WriteConnection): string | undefined {
  const pages = connection.pageCount();
  const inWal = scanWal(`${path}-wal`);
  // Not read from the file: closing it here would drop the locks that SQLite holds on it.
  const pageSize = connection.pageSize();
  for (let page = Math.floor(statSync(path).size / pageSize) + 1; page <= pages; page += 1) {
    if (inWal?.pages.has(page) !== true) return `the file ends before page ${page} of ${pages}`;
  }
  return undefined;
}

/**
 * A process that was killed may have left a transaction in the WAL that nobody synced. SQLite goes on behind it, so it is
 * synced first: then a transaction with another behind it is always one that had been synced (see `damaged-wal.ts`).
 */
function syncWal(path: string): void {
  if (!existsSync(`${path}-wal`)) return;
  try {
    const file = openSync(`${path}-wal`, 'r+');
    try {
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
  } catch {
    // A read-only disk has nothing to sync; what else is wrong shows when SQLite opens the file.
  }
}

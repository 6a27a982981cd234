/**
 * What is left of a damaged database, in a new file. Rows are read page by page, so a damaged page costs the rows on it;
 * indexes name rows that their table lost. The damaged files are set aside beside the new one with the report.
 *
 * A cut at any moment is harmless: the new file is complete and synced before it gets the name `.salvaged`, and from
 * then on the next start finishes the exchange.
 */

import {
  closeSync,
  existsSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import Database from 'better-sqlite3';
import { errorText } from '../../../runtime/contracts/error.ts';
import { DamagedTrees } from './damaged-trees.ts';
import { pageSizeOf, scanWal } from './damaged-wal.ts';
import { PAGE_SIZE } from './page-size.ts';
import { readAt, withFile } from './read-file.ts';
import { copyRows, lostByIndex, type SchemaEntry, type TableLoss } from './salvage-rows.ts';
import { SALVAGED_TABLE } from './salvaged-table.ts';
import { knownSchema, masterEntries } from './schema-copy.ts';

/** Exactly what became of a damaged database. */
export interface SalvageReport {
  readonly path: string;
  /** Folder with the damaged files and this report. */
  readonly setAside: string;
  readonly reason: string;
  readonly tables: readonly TableLoss[];
  /** Frames of the write-ahead log that could not be read. */
  readonly lostFrames: number;
}

const KEPT_FOLDERS = 3;
const BATCH = 2000;

/** Replaces the database at `path` by what can be read of it. */
export function salvage(path: string, reason: string): SalvageReport {
  const folder = asideFolder(path);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  for (const suffix of ['', '-wal', '-journal']) {
    if (existsSync(path + suffix)) linkSync(path + suffix, join(folder, basename(path) + suffix));
  }
  const copy = `${path}.salvaging`;
  rmSync(copy, { force: true });
  const found = readOut(path, copy);
  syncPath(copy);
  const report = { path, setAside: folder, reason, ...found };
  writeFileSync(join(folder, 'report.json'), `${JSON.stringify(report, null, 2)}\n`, { mode: 0o600 });
  syncPath(join(folder, 'report.json'));
  syncPath(folder);
  renameSync(copy, `${path}.salvaged`);
  syncPath(dirname(path));
  finishSalvage(path);
  return report;
}

/** Puts a complete salvaged file into its place, also one that an earlier start left there. */
export function finishSalvage(path: string): void {
  if (!existsSync(`${path}.salvaged`)) return;
  for (const suffix of ['-wal', '-shm', '-journal']) rmSync(path + suffix, { force: true });
  syncPath(dirname(path));
  renameSync(`${path}.salvaged`, path);
  syncPath(dirname(path));
}

/** A new folder `<file>.damaged-<n>`; only the last few are kept. */
function asideFolder(path: string): string {
  const prefix = `${basename(path)}.damaged-`;
  const numbers = readdirSync(dirname(path))
    .filter((name) => name.startsWith(prefix))
    .map((name) => Number(name.slice(prefix.length)))
    .filter(Number.isSafeInteger)
    .sort((a, b) => a - b);
  for (const number of numbers.slice(0, Math.max(0, numbers.length - KEPT_FOLDERS + 1)))
    rmSync(join(dirname(path), `${prefix}${number}`), { recursive: true, force: true });
  return join(dirname(path), `${prefix}${(numbers.at(-1) ?? 0) + 1}`);
}

function syncPath(path: string): void {
  const file = openSync(path, 'r');
  try {
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

function readOut(path: string, copy: string): Pick<SalvageReport, 'tables' | 'lostFrames'> {
  const wal = scanWal(`${path}-wal`);
  const target = new Database(copy);
  try {
    target.pragma(`page_size = ${PAGE_SIZE}`);
    target.pragma('auto_vacuum = INCREMENTAL');
    target.pragma('journal_mode = OFF');
    target.pragma('synchronous = OFF');
    const tables =
      withFile(path, (file, size) =>
        withWal(`${path}-wal`, (walFile) => {
          const pageSize =
            pageSizeOf(readAt(file, 16, 2).readUInt16BE(0)) ??
            wal?.pageSize ??
            knownSchema(path)?.pageSize ??
            PAGE_SIZE;
          const walPages = wal?.pages ?? new Map<number, number>();
          let pageCount = Math.ceil(size / pageSize);
          for (const page of walPages.keys()) pageCount = Math.max(pageCount, page);
          const read = (page: number): Buffer | undefined => {
            if (page < 1 || page > pageCount) return undefined;
            const inWal = walPages.get(page);
            if (inWal !== undefined && walFile !== undefined) return readAt(walFile, inWal, pageSize);
            return readAt(file, (page - 1) * pageSize, pageSize);
          };
          return copyTables(path, target, new DamagedTrees(read, pageSize, 0), pageCount);
        }),
      ) ?? [];
    target.exec(`CREATE TABLE ${SALVAGED_TABLE} (key TEXT PRIMARY KEY)`);
    return { tables, lostFrames: wal?.damagedFrames ?? 0 };
  } finally {
    target.close();
  }
}

function withWal<T>(path: string, use: (file: number | undefined) => T): T {
  return existsSync(path) ? (withFile(path, (file) => use(file)) as T) : use(undefined);
}

function copyTables(
  path: string,
  target: Database.Database,
  trees: DamagedTrees,
  pageCount: number,
): TableLoss[] {
  const schema = mergeSchema(knownSchema(path)?.entries ?? [], masterEntries(trees));
  const tables = schema.filter(
    ({ type, name }) => type === 'table' && name !== SALVAGED_TABLE && !name.startsWith('sqlite_'),
  );
  const losses: TableLoss[] = [];
  const made: SchemaEntry[] = [];
  for (const table of tables) {
    try {
      target.exec(String(table.sql));
      made.push(table);
    } catch (error) {
      losses.push({ ...nothing(table.name), note: `its definition is unreadable: ${errorText(error)}` });
    }
  }
  const walks = made.map((table) => copyRows(target, trees, table, BATCH));
  adoptOrphans(walks, trees, pageCount);
  for (const { loss } of walks) losses.push(loss);
  const indexes = schema.filter(({ type }) => type === 'index');
  for (const index of indexes) if (index.sql !== null) tryExec(target, index.sql);
  for (const index of indexes) {
    const loss = walks.find(({ table }) => table.name === index.table);
    if (loss !== undefined) lostByIndex(target, trees, index, loss);
  }
  for (const other of schema) {
    if (other.type !== 'table' && other.type !== 'index' && other.sql !== null) tryExec(target, other.sql);
  }
  return losses;
}

/** A table whose inner pages are lost still has its leaf pages; they are known by the shape of their rows. */
function adoptOrphans(
  walks: readonly ReturnType<typeof copyRows>[],
  trees: DamagedTrees,
  pageCount: number,
): void {
  const holed = walks.filter((walk) => walk.holed);
  if (holed.length === 0) return;
  const free = trees.freePages();
  // Without the list of free pages nobody knows which of them hold what was deleted.
  if (free === undefined) return;
  for (const kind of ['table', 'index'] as const) {
    const candidates = holed.filter((walk) => walk.kind === kind);
    if (candidates.length === 0) continue;
    for (const { rows } of trees.orphans(kind, pageCount, free)) {
      if (rows.length > 0) candidates.find((walk) => walk.fits(rows))?.adopt(rows);
    }
  }
}

function nothing(name: string): TableLoss {
  return { name, kept: 0, damagedPages: 0, lost: [], lostMore: 0 };
}

/** The copy was written by us and is whole; the file's own table may know later additions. */
function mergeSchema(copy: readonly SchemaEntry[], own: readonly SchemaEntry[]): SchemaEntry[] {
  const known = new Set(copy.map(({ type, name }) => `${type} ${name}`));
  return [...copy, ...own.filter(({ type, name }) => !known.has(`${type} ${name}`))];
}

function tryExec(target: Database.Database, sql: string): void {
  try {
    target.exec(sql);
  } catch {
    // An index over rows that contradict each other: the migration of its user makes it anew or does without.
  }
}

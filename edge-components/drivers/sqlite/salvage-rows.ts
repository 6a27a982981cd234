/** Copies the readable rows of one table of a damaged database, and finds out which rows are missing. */

import type Database from 'better-sqlite3';
import type { SqlValue } from '../../../runtime/contracts/database.ts';
import type { DamagedTrees, TreeRow } from './damaged-trees.ts';

/** A row of `sqlite_master`. */
export interface SchemaEntry {
  readonly type: string;
  readonly name: string;
  readonly table: string;
  readonly root: number;
  readonly sql: string | null;
}

export interface TableLoss {
  readonly name: string;
  kept: number;
  /** Pages of the table that could not be read, wholly or in part. */
  damagedPages: number;
  /** Rows that an index knows and the table lost, by their indexed columns. */
  readonly lost: Record<string, string | number | null>[];
  /** Further ones, not listed. */
  lostMore: number;
  note?: string;
}

export interface CopiedTable {
  readonly table: SchemaEntry;
  readonly kind: 'table' | 'index';
  readonly holed: boolean;
  readonly loss: TableLoss;
  fits(rows: readonly TreeRow[]): boolean;
  adopt(rows: readonly TreeRow[]): void;
}

interface Column {
  readonly name: string;
  readonly type: string;
  readonly notNull: boolean;
  readonly hasDefault: boolean;
}

const MAX_LISTED = 1000;

/** Copies what the tree of `table` still gives; the table exists in `target`. */
export function copyRows(
  target: Database.Database,
  trees: DamagedTrees,
  table: SchemaEntry,
  batch: number,
): CopiedTable {
  const kind = /\bWITHOUT\s+ROWID\b/i.test(table.sql ?? '') ? 'index' : 'table';
  const columns = storedColumns(target, table.name, kind);
  const alias = kind === 'table' ? rowidAlias(target, table.name) : undefined;
  const loss: TableLoss = { name: table.name, kept: 0, damagedPages: 0, lost: [], lostMore: 0 };
  const insert = inserter(target, table.name, columns, kind, alias);
  const walk = trees.walk(table.root, kind);
  let waiting: TreeRow[] = [];
  const store = (): void => {
    target.exec('BEGIN');
    for (const row of waiting) {
      if (insert(row)) loss.kept += 1;
    }
    target.exec('COMMIT');
    waiting = [];
  };
  for (const row of walk.rows) {
    waiting.push(row);
    if (waiting.length >= batch) store();
  }
  store();
  loss.damagedPages = walk.damaged.length;
  return {
    table,
    kind,
    get holed() {
      return walk.holed();
    },
    loss,
    fits: (rows) => rows.every(({ values }) => fits(values, columns, alias)),
    adopt: (rows) => {
      waiting = [...rows];
      store();
    },
  };
}

/** Columns in the order in which rows are stored. */
function storedColumns(target: Database.Database, table: string, kind: 'table' | 'index'): Column[] {
  const info = target.pragma(`table_xinfo("${table}")`) as Readonly<Record<string, SqlValue>>[];
  const columns = info
    .filter((row) => row['hidden'] === 0)
    .map((row) => ({
      name: String(row['name']),
      type: String(row['type']).toUpperCase(),
      notNull: row['notnull'] === 1,
      hasDefault: row['dflt_value'] !== null,
    }));
  if (kind === 'table') return columns;
  const key = (target.pragma(`index_list("${table}")`) as Readonly<Record<string, SqlValue>>[]).find(
    (row) => row['origin'] === 'pk',
  );
  const order = target.pragma(`index_xinfo("${String(key?.['name'])}")`) as Readonly<
    Record<string, SqlValue>
  >[];
  const ordered = order.flatMap((row) => columns.filter(({ name }) => name === row['name']));
  return [...ordered, ...columns.filter((column) => !ordered.includes(column))];
}

/** Index of the column that is the row id; its place in the record is empty. */
function rowidAlias(target: Database.Database, table: string): number | undefined {
  const info = target.pragma(`table_xinfo("${table}")`) as Readonly<Record<string, SqlValue>>[];
  const keys = info.filter((row) => Number(row['pk']) > 0);
  const only = keys.length === 1 ? keys[0] : undefined;
  if (only === undefined || String(only['type']).toUpperCase() !== 'INTEGER') return undefined;
  return info.indexOf(only);
}

function inserter(
  target: Database.Database,
  table: string,
  columns: readonly Column[],
  kind: 'table' | 'index',
  alias: number | undefined,
): (row: TreeRow) => boolean {
  const statements = new Map<number, Database.Statement>();
  const statementFor = (count: number): Database.Statement => {
    let statement = statements.get(count);
    if (statement === undefined) {
      const names = columns.slice(0, count).map(({ name }) => `"${name}"`);
      if (kind === 'table' && alias === undefined) names.unshift('rowid');
      const marks = names.map(() => '?').join(', ');
      statement = target.prepare(`INSERT OR IGNORE INTO "${table}" (${names.join(', ')}) VALUES (${marks})`);
      statements.set(count, statement);
    }
    return statement;
  };
  return ({ rowid, values }) => {
    if (values.length === 0 || values.length > columns.length) return false;
    const given = [...values];
    if (alias !== undefined && alias < given.length) given[alias] = rowid ?? null;
    else if (kind === 'table' && rowid !== undefined) given.unshift(rowid);
    try {
      return statementFor(values.length).run(...given).changes > 0;
    } catch {
      return false; // The row contradicts its table: it is damaged.
    }
  };
}

function fits(values: readonly SqlValue[], columns: readonly Column[], alias: number | undefined): boolean {
  if (values.length !== columns.length) return false;
  return values.every((value, index) => {
    const column = columns[index];
    if (column === undefined || index === alias) return value === null;
    if (value === null) return !column.notNull;
    if (column.type === 'INTEGER') return typeof value === 'number' || typeof value === 'bigint';
    if (column.type === 'TEXT') return typeof value === 'string';
    return column.type !== 'BLOB' || value instanceof Uint8Array || typeof value === 'string';
  });
}

/** Rows that `index` has and the table lost; a row of which the index holds all that matters is put back. */
export function lostByIndex(
  target: Database.Database,
  trees: DamagedTrees,
  index: SchemaEntry,
  { table, kind, loss }: CopiedTable,
): void {
  const walk = trees.walk(index.root, 'index');
  if (kind !== 'table') {
    for (const _ of walk.rows);
    return;
  }
  const info = target.pragma(`index_xinfo("${index.name}")`) as Readonly<Record<string, SqlValue>>[];
  const names = info.filter((row) => row['key'] === 1).map((row) => String(row['name']));
  const exists = target.prepare(`SELECT 1 FROM "${table.name}" WHERE rowid = ?`);
  const columns = storedColumns(target, table.name, 'table');
  const alias = rowidAlias(target, table.name);
  const enough = columns.every(
    (column, at) => at === alias || names.includes(column.name) || column.hasDefault || !column.notNull,
  );
  const idName = alias === undefined ? 'rowid' : (columns[alias]?.name ?? 'rowid');
  const listed = new Map(loss.lost.map((row) => [row[idName], row]));
  for (const { values } of walk.rows) {
    const rowid = values.at(-1);
    if (values.length !== names.length + 1 || rowid === undefined || exists.get(rowid) !== undefined)
      continue;
    list(loss, listed, idName, { [idName]: showable(rowid), ...shownColumns(names, values) });
    if (enough && names.length > 0) putBack(target, table.name, idName, rowid, names, values);
  }
}

type ShownRow = Record<string, string | number | null>;

function shownColumns(names: readonly string[], values: readonly SqlValue[]): ShownRow {
  return Object.fromEntries(names.map((name, at) => [name, showable(values[at] ?? null)]));
}

/** Adds a lost row to the list, or what one more index knows of it. */
function list(loss: TableLoss, listed: Map<unknown, ShownRow>, idName: string, shown: ShownRow): void {
  const known = listed.get(shown[idName]);
  if (known !== undefined) Object.assign(known, shown);
  else if (listed.size >= MAX_LISTED) loss.lostMore += 1;
  else {
    listed.set(shown[idName], shown);
    loss.lost.push(shown);
  }
}

function putBack(
  target: Database.Database,
  table: string,
  idName: string,
  rowid: SqlValue,
  names: readonly string[],
  values: readonly SqlValue[],
): void {
  const list = [idName, ...names].map((name) => `"${name}"`);
  try {
    target
      .prepare(
        `INSERT OR IGNORE INTO "${table}" (${list.join(', ')}) VALUES (${list.map(() => '?').join(', ')})`,
      )
      .run(rowid, ...values.slice(0, names.length));
  } catch {
    // It stays lost.
  }
}

function showable(value: SqlValue): string | number | null {
  if (value === null || typeof value === 'number') return value;
  if (value instanceof Uint8Array) return Buffer.from(value).toString('hex').slice(0, 200);
  return String(value).slice(0, 200);
}

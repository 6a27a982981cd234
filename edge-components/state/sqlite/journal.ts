/**
 * The journal of a `state.sqlite` table: which keys changed, noted by triggers in the transaction of the change itself,
 * whoever makes it. A power cut loses neither or both. One row per key, at its last change, so it never outgrows the
 * table by much; keys that nobody follows cost one look-up per write, and tables without a journal nothing.
 *
 * `sequence` is hybrid logical time (milliseconds * 1024 + counter, see `building-blocks/sync/hybrid-clock.ts`): above
 * everything noted or applied before, so the next write of an app is later than whatever it may have seen. A row that
 * expires is no change: what was sent has its own expiry. What was written while the triggers were not there (another
 * program's copy of the file, a file from before) is found by its ETag when the journal is opened.
 */

import type { Database, Migration, SqlStep } from '../../../runtime/contracts/database.ts';
import type {
  JournalEntry,
  JournalOptions,
  StateJournal,
  StateOperation,
} from '../../../runtime/contracts/state-store.ts';

interface JournalParts {
  readonly database: Database;
  readonly table: string;
  readonly options: JournalOptions;
  /** One operation as the store writes it. */
  readonly step: (operation: StateOperation) => SqlStep;
  /** Writes, with refused steps as ETag errors. */
  readonly write: (steps: readonly SqlStep[]) => Promise<void>;
  readonly closed: () => void;
}

/** Works in any SQLite that Dapr may bring, unlike `unixepoch('subsec')`. */
const NOW_MS = "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)";

/** Tables and triggers beside the state table. */
export function journalMigration(table: string): Migration {
  const { journal, scope, next } = names(table);
  const followed =
    `(EXISTS (SELECT 1 FROM ${scope} WHERE prefix = 0 AND name = KEY.key) OR ` +
    `EXISTS (SELECT 1 FROM ${scope} WHERE prefix = 1 AND substr(KEY.key, 1, length(name)) = name))`;
  const note = (row: 'NEW' | 'OLD', etag: string): string =>
    `INSERT INTO ${journal} (key, sequence, stamp, origin, etag) ` +
    `SELECT ${row}.key, n, n, '', ${etag} FROM (SELECT ${next} AS n) WHERE true ` +
    'ON CONFLICT (key) DO UPDATE SET sequence = excluded.sequence, stamp = excluded.stamp, origin = excluded.origin, ' +
    'etag = excluded.etag';
  const trigger = (name: string, event: string, row: 'NEW' | 'OLD', more: string, body: string): string =>
    `CREATE TRIGGER "${table}_sync_${name}" AFTER ${event} ON "${table}" ` +
    `WHEN ${followed.replaceAll('KEY', row)}${more} BEGIN ${body}; END`;
  const alive = "(OLD.expiration_time IS NULL OR OLD.expiration_time > datetime('now'))";
  return {
    metadataTable: 'skerry_schema',
    key: `sync-journal ${table}`,
    levels: [
      [
        `CREATE TABLE ${scope} (owner TEXT NOT NULL, name TEXT NOT NULL, prefix INTEGER NOT NULL, ` +
          'PRIMARY KEY (prefix, name, owner)) WITHOUT ROWID',
        `CREATE TABLE ${journal} (key TEXT NOT NULL PRIMARY KEY, sequence INTEGER NOT NULL, stamp INTEGER NOT NULL, ` +
          'origin TEXT NOT NULL, etag TEXT NOT NULL)',
        `CREATE INDEX "${table}_sync_journal_sequence" ON ${journal} (sequence)`,
        trigger('insert', 'INSERT', 'NEW', '', note('NEW', 'NEW.etag')),
        trigger('update', 'UPDATE', 'NEW', '', note('NEW', 'NEW.etag')),
        trigger('delete', 'DELETE', 'OLD', ` AND ${alive}`, note('OLD', "''")),
        trigger(
          'expiry',
          'DELETE',
          'OLD',
          ` AND NOT ${alive}`,
          `UPDATE ${journal} SET etag = '' WHERE key = OLD.key`,
        ),
      ],
    ],
  };
}

/** Opens the journal; changes of these keys are noted from now on. */
export async function openJournal(parts: JournalParts): Promise<StateJournal> {
  const { database, table, options } = parts;
  const { journal, next } = names(table);
  await database.write(openingSteps(table, options));
  const entries = (rows: ReturnType<Database['read']>): readonly JournalEntry[] =>
    rows.map((row) => ({
      key: String(row['key']),
      sequence: Number(row['sequence']),
      stamp: Number(row['stamp']),
      origin: String(row['origin']),
    }));
  const columns = `SELECT key, sequence, stamp, origin FROM ${journal}`;
  return {
    changes: (after, limit) =>
      entries(database.read(`${columns} WHERE sequence > ? ORDER BY sequence LIMIT ?`, [after, limit])),
    find: (keys) =>
      entries(
        database.read(`${columns} WHERE key IN (SELECT value FROM json_each(?))`, [JSON.stringify(keys)]),
      ),
    apply: (operations, origin, steps) =>
      parts.write([
        ...operations.flatMap(({ operation, stamp }) => [
          parts.step(operation),
          {
            sql: `UPDATE ${journal} SET origin = ?, stamp = ?, sequence = max(sequence, ? + 1) WHERE key = ?`,
            params: [origin, stamp, stamp, operation.key],
          },
        ]),
        ...steps,
      ]),
    read: (sql, params) => database.read(sql, params),
    now: () => Number(database.read(`SELECT ${next} AS n`)[0]?.['n']),
    close: parts.closed,
  };
}

function names(table: string) {
  const journal = `"${table}_sync_journal"`;
  return {
    journal,
    scope: `"${table}_sync_scope"`,
    next: `max((SELECT coalesce(max(sequence), 0) + 1 FROM ${journal}), ${NOW_MS} * 1024)`,
  };
}

/** The owner's keys, and what of them changed unseen: other ETags than noted, rows that are gone. */
function openingSteps(table: string, { owner, keys, prefixes }: JournalOptions): readonly SqlStep[] {
  const { journal, scope, next } = names(table);
  const follow = (name: readonly string[], prefix: 0 | 1): SqlStep => ({
    sql: `INSERT INTO ${scope} (owner, name, prefix) SELECT ?, value, ? FROM json_each(?) WHERE true ON CONFLICT DO NOTHING`,
    params: [owner, prefix, JSON.stringify(name)],
  });
  const mine = (key: string): string =>
    `(${key} IN (SELECT name FROM ${scope} WHERE owner = ? AND prefix = 0) OR EXISTS (SELECT 1 FROM ${scope} ` +
    `WHERE owner = ? AND prefix = 1 AND substr(${key}, 1, length(name)) = name))`;
  return [
    { sql: `DELETE FROM ${scope} WHERE owner = ?`, params: [owner] },
    follow(keys, 0),
    follow(prefixes, 1),
    {
      sql:
        `INSERT INTO ${journal} (key, sequence, stamp, origin, etag) ` +
        `SELECT s.key, ${next} + row_number() OVER (ORDER BY s.rowid), ` +
        `coalesce(CAST(strftime('%s', s.update_time) AS INTEGER), 0) * 1024000, '', s.etag ` +
        `FROM "${table}" s LEFT JOIN ${journal} j ON j.key = s.key ` +
        `WHERE j.etag IS NOT s.etag AND ${mine('s.key')} ` +
        'ON CONFLICT (key) DO UPDATE SET sequence = excluded.sequence, stamp = excluded.stamp, ' +
        'origin = excluded.origin, etag = excluded.etag',
      params: [owner, owner],
    },
    {
      sql:
        `UPDATE ${journal} SET sequence = gone.n, stamp = gone.n, origin = '', etag = '' FROM ` +
        `(SELECT j.key AS key, ${next} + row_number() OVER (ORDER BY j.key) AS n FROM ${journal} j ` +
        `WHERE j.etag <> '' AND NOT EXISTS (SELECT 1 FROM "${table}" s WHERE s.key = j.key) AND ${mine('j.key')}) gone ` +
        `WHERE ${journal}.key = gone.key`,
      params: [owner, owner],
    },
  ];
}

/**
 * What a state flow remembers, in the file of its local store, so that it is written in the transaction of the values it
 * is about: how far local changes were sent, what both sides last agreed on for each key, the batch whose answer is still
 * awaited, conflicts that are still to be told, keys that the other side refuses.
 */

import type { Migration, SqlStep, SqlValue } from '../../contracts/database.ts';
import type { StateJournal } from '../../contracts/state-store.ts';
import type { Base } from './review.ts';

/** A batch on its way: whether it arrived is seen by its id at the other side. */
export interface InDoubt {
  readonly batch: string;
  readonly n: number;
  /** The local changes up to here are in it. */
  readonly sent: number;
  readonly items: readonly {
    readonly key: string;
    readonly token: string;
    readonly text?: string | undefined;
  }[];
}

export interface FlowState {
  /** Local changes up to this sequence were sent or need not be. */
  readonly sent: number;
  /** Entries of the shared journal up to this one were read. */
  readonly heard: number;
  readonly inDoubt: InDoubt | undefined;
  readonly conflicts: number;
}

export interface ConflictRow {
  readonly id: string;
  readonly event: string;
}

export const RECORD_MIGRATION: Migration = {
  metadataTable: 'skerry_schema',
  key: 'sync-flows',
  levels: [
    [
      'CREATE TABLE skerry_sync_flows (flow TEXT NOT NULL PRIMARY KEY, signature TEXT NOT NULL, sent INTEGER NOT NULL, ' +
        'heard INTEGER NOT NULL, in_doubt TEXT, conflicts INTEGER NOT NULL) WITHOUT ROWID',
      'CREATE TABLE skerry_sync_base (flow TEXT NOT NULL, key TEXT NOT NULL, token TEXT NOT NULL, text TEXT, asked TEXT, ' +
        'PRIMARY KEY (flow, key)) WITHOUT ROWID',
      'CREATE TABLE skerry_sync_conflicts (id TEXT NOT NULL PRIMARY KEY, flow TEXT NOT NULL, event TEXT NOT NULL)',
      'CREATE TABLE skerry_sync_refused (flow TEXT NOT NULL, key TEXT NOT NULL, error TEXT NOT NULL, ' +
        'PRIMARY KEY (flow, key)) WITHOUT ROWID',
    ],
  ],
};

const CONFLICT_PAGE = 50;

export interface FlowRecord {
  read(): FlowState;
  bases(keys: readonly string[]): ReadonlyMap<string, Base>;
  conflicts(): readonly ConflictRow[];
  refused(): readonly { readonly key: string; readonly error: string }[];
  readonly steps: {
    sent(sequence: number): SqlStep;
    heard(n: number): SqlStep;
    inDoubt(batch: InDoubt | undefined): SqlStep;
    base(key: string, base: Base): SqlStep;
    conflict(row: ConflictRow): readonly SqlStep[];
    told(id: string): SqlStep;
    refuse(key: string, error: string): SqlStep;
    /** The key was taken after all, or changed. */
    accept(keys: readonly string[]): SqlStep;
  };
  /** Steps that stand alone. */
  write(steps: readonly SqlStep[]): Promise<void>;
}

/** Opens the record of `flow`; another signature (other keys) means that everything is looked at again. */
export async function openRecord(
  journal: StateJournal,
  flow: string,
  signature: string,
): Promise<FlowRecord> {
  const write = (steps: readonly SqlStep[]): Promise<void> => journal.apply([], '', steps);
  const row = journal.read('SELECT signature FROM skerry_sync_flows WHERE flow = ?', [flow])[0];
  if (row === undefined || row['signature'] !== signature) {
    await write([
      {
        sql:
          'INSERT INTO skerry_sync_flows (flow, signature, sent, heard, in_doubt, conflicts) VALUES (?, ?, 0, 0, NULL, 0) ' +
          'ON CONFLICT (flow) DO UPDATE SET signature = excluded.signature, sent = 0, heard = 0',
        params: [flow, signature],
      },
    ]);
  }
  const set = (column: string, value: SqlValue): SqlStep => ({
    sql: `UPDATE skerry_sync_flows SET ${column} = ? WHERE flow = ?`,
    params: [value, flow],
  });
  return {
    write,
    read: () => {
      const found = journal.read(
        'SELECT sent, heard, in_doubt, conflicts FROM skerry_sync_flows WHERE flow = ?',
        [flow],
      )[0];
      const doubt = found?.['in_doubt'];
      return {
        sent: Number(found?.['sent'] ?? 0),
        heard: Number(found?.['heard'] ?? 0),
        inDoubt: typeof doubt === 'string' ? (JSON.parse(doubt) as InDoubt) : undefined,
        conflicts: Number(found?.['conflicts'] ?? 0),
      };
    },
    bases: (keys) =>
      new Map(
        journal
          .read(
            'SELECT key, token, text, asked FROM skerry_sync_base WHERE flow = ? AND key IN (SELECT value FROM json_each(?))',
            [flow, JSON.stringify(keys)],
          )
          .map((found) => [String(found['key']), baseOf(found)]),
      ),
    conflicts: () =>
      journal
        .read('SELECT id, event FROM skerry_sync_conflicts WHERE flow = ? ORDER BY id LIMIT ?', [
          flow,
          CONFLICT_PAGE,
        ])
        .map((found) => ({ id: String(found['id']), event: String(found['event']) })),
    refused: () =>
      journal
        .read('SELECT key, error FROM skerry_sync_refused WHERE flow = ? ORDER BY key', [flow])
        .map((found) => ({ key: String(found['key']), error: String(found['error']) })),
    steps: {
      sent: (sequence) => set('sent', sequence),
      heard: (n) => set('heard', n),
      inDoubt: (batch) => set('in_doubt', batch === undefined ? null : JSON.stringify(batch)),
      base: (key, { token, text, asked }) => ({
        sql: 'INSERT OR REPLACE INTO skerry_sync_base (flow, key, token, text, asked) VALUES (?, ?, ?, ?, ?)',
        params: [flow, key, token, text ?? null, asked === undefined ? null : JSON.stringify(asked)],
      }),
      conflict: ({ id, event }) => [
        {
          sql: 'INSERT OR IGNORE INTO skerry_sync_conflicts (id, flow, event) VALUES (?, ?, ?)',
          params: [id, flow, event],
        },
        {
          sql: 'UPDATE skerry_sync_flows SET conflicts = conflicts + 1 WHERE flow = ?',
          params: [flow],
        },
      ],
      told: (id) => ({ sql: 'DELETE FROM skerry_sync_conflicts WHERE id = ?', params: [id] }),
      refuse: (key, error) => ({
        sql: 'INSERT OR REPLACE INTO skerry_sync_refused (flow, key, error) VALUES (?, ?, ?)',
        params: [flow, key, error],
      }),
      accept: (keys) => ({
        sql: 'DELETE FROM skerry_sync_refused WHERE flow = ? AND key IN (SELECT value FROM json_each(?))',
        params: [flow, JSON.stringify(keys)],
      }),
    },
  };
}

function baseOf(row: Readonly<Record<string, SqlValue>>): Base {
  const { text, asked } = row;
  return {
    token: String(row['token']),
    ...(typeof text === 'string' ? { text } : {}),
    ...(typeof asked === 'string' ? { asked: JSON.parse(asked) as Base['asked'] } : {}),
  };
}

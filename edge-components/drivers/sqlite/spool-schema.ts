/**
 * Tables of the spool in the node's database.
 *
 * `skerry_spool_queue` is the ledger: one row per queue with its counters, rewritten in the transaction of every
 * change, so that after any crash accepted = delivered + pending + dropped. After damage `damaged` takes what is missing. It also carries how much time had elapsed
 * (`elapsed_ms`, see `elapsed-clock.ts`) and the highest sequence given out.
 *
 * `skerry_spool_message` holds what is pending. `sequence` grows over all queues of the node and is never reused;
 * `deadline` is a moment of the elapsed clock; `record` is the message (see `spool-record.ts`, also for `id` and
 * `accepted_at`). Lanes are the priorities; a
 * share for backlog needs no column, because backlog is what lies below the sequence at which the link came back.
 */

import type { Migration } from '../../../runtime/contracts/database.ts';

export const SPOOL_MIGRATION: Migration = {
  metadataTable: 'skerry_schema',
  key: 'spool',
  levels: [
    [
      `CREATE TABLE skerry_spool_queue (
        id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,
        accepted INTEGER NOT NULL DEFAULT 0, delivered INTEGER NOT NULL DEFAULT 0,
        expired INTEGER NOT NULL DEFAULT 0, full INTEGER NOT NULL DEFAULT 0, removed INTEGER NOT NULL DEFAULT 0,
        pending INTEGER NOT NULL DEFAULT 0, parked INTEGER NOT NULL DEFAULT 0, pendingBytes INTEGER NOT NULL DEFAULT 0,
        last_sequence INTEGER NOT NULL DEFAULT 0, elapsed_ms INTEGER NOT NULL DEFAULT 0, last_error TEXT
      ) STRICT`,
      `CREATE TABLE skerry_spool_message (
        sequence INTEGER PRIMARY KEY, queue INTEGER NOT NULL, key TEXT NOT NULL, priority INTEGER NOT NULL,
        parked INTEGER NOT NULL DEFAULT 0, attempts INTEGER NOT NULL DEFAULT 0, bytes INTEGER NOT NULL,
        id TEXT NOT NULL, accepted_at INTEGER NOT NULL, deadline INTEGER, error TEXT, record BLOB NOT NULL
      ) STRICT`,
      `CREATE INDEX skerry_spool_lane ON skerry_spool_message (queue, priority DESC, sequence) WHERE parked = 0`,
      `CREATE INDEX skerry_spool_key ON skerry_spool_message (queue, key, sequence) WHERE parked = 0`,
      `CREATE INDEX skerry_spool_parked ON skerry_spool_message (queue, sequence) WHERE parked = 1`,
      `CREATE INDEX skerry_spool_deadline ON skerry_spool_message (queue, deadline) WHERE deadline IS NOT NULL`,
    ],
    [
      // Messages that damage of the file took; part of `dropped`.
      'ALTER TABLE skerry_spool_queue ADD COLUMN damaged INTEGER NOT NULL DEFAULT 0',
      // CRC-32 of the record: SQLite's own checks do not look at content.
      'ALTER TABLE skerry_spool_message ADD COLUMN crc INTEGER',
      // Ids of messages that left, many to a row: 16 bytes each, so that anyone can ask for a while.
      `CREATE TABLE skerry_spool_gone (
        batch INTEGER PRIMARY KEY, queue INTEGER NOT NULL, why TEXT NOT NULL, ended_at INTEGER NOT NULL,
        ids BLOB NOT NULL) STRICT`,
    ],
  ],
  repair: [
    `INSERT OR IGNORE INTO skerry_spool_queue (id, name) SELECT DISTINCT queue, 'salvaged-' || queue
      FROM skerry_spool_message WHERE queue NOT IN (SELECT id FROM skerry_spool_queue)`,
    `UPDATE skerry_spool_queue SET
      pending = (SELECT count(*) FROM skerry_spool_message WHERE queue = skerry_spool_queue.id),
      parked = (SELECT count(*) FROM skerry_spool_message WHERE queue = skerry_spool_queue.id AND parked = 1),
      pendingBytes = (SELECT coalesce(sum(bytes), 0) FROM skerry_spool_message WHERE queue = skerry_spool_queue.id),
      last_sequence = max(last_sequence, (SELECT coalesce(max(sequence), 0) FROM skerry_spool_message))`,
    'UPDATE skerry_spool_queue SET damaged = max(0, accepted - delivered - expired - full - removed - pending)',
    'UPDATE skerry_spool_queue SET accepted = delivered + expired + full + removed + damaged + pending',
  ],
};

/** Counters of one queue, as in its row. */
export interface SpoolCounters {
  accepted: number;
  delivered: number;
  expired: number;
  full: number;
  removed: number;
  damaged: number;
  /** Parked ones included. */
  pending: number;
  parked: number;
  pendingBytes: number;
}

export const COUNTER_NAMES = [
  'accepted',
  'delivered',
  'expired',
  'full',
  'removed',
  'damaged',
  'pending',
  'parked',
  'pendingBytes',
] as const satisfies readonly (keyof SpoolCounters)[];

const MESSAGES = 'skerry_spool_message';
const PENDING = `FROM ${MESSAGES} WHERE queue = ? AND parked = 0`;

/** What it takes to take a message out. */
const REMOVABLE = 'sequence, bytes, parked, id, substr(record, 1, 16) AS head';

export const SPOOL_SQL = {
  insertQueue: 'INSERT INTO skerry_spool_queue (name, elapsed_ms) VALUES (?, ?)',
  queue: 'SELECT * FROM skerry_spool_queue WHERE name = ?',
  queues: 'SELECT * FROM skerry_spool_queue ORDER BY name',
  bases: 'SELECT max(last_sequence) AS sequence, max(elapsed_ms) AS elapsed FROM skerry_spool_queue',
  unbalanced: `SELECT name FROM skerry_spool_queue WHERE parked > pending
    OR accepted <> delivered + expired + full + removed + damaged + pending
    OR min(delivered, expired, full, removed, damaged, parked, pendingBytes) < 0`,
  updateQueue: `UPDATE skerry_spool_queue SET ${COUNTER_NAMES.map((name) => `${name} = ?`).join(', ')}, last_sequence = ?, elapsed_ms = ?, last_error = ? WHERE id = ?`,
  insert: `INSERT INTO ${MESSAGES} (sequence, queue, key, priority, bytes, id, accepted_at, deadline, record, crc) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  remove: `DELETE FROM ${MESSAGES} WHERE sequence = ?`,
  park: `UPDATE ${MESSAGES} SET parked = 1, attempts = ?, error = ? WHERE sequence = ?`,
  attempted: `UPDATE ${MESSAGES} SET attempts = ? WHERE sequence = ?`,
  window: `SELECT sequence, key, priority ${PENDING} ORDER BY priority DESC, sequence LIMIT ?`,
  lanes: `SELECT (SELECT min(priority) ${PENDING}) AS lowest, (SELECT max(priority) ${PENDING}) AS highest`,
  ahead: `SELECT * ${PENDING} AND priority = ? AND sequence BETWEEN ? AND ? AND bytes <= ? ORDER BY sequence LIMIT ?`,
  head: `SELECT * ${PENDING} AND key = ? AND sequence > ? ORDER BY sequence LIMIT 1`,
  oldestOfLane: `SELECT ${REMOVABLE} ${PENDING} AND priority = ? ORDER BY sequence LIMIT ?`,
  oldestParked: `SELECT ${REMOVABLE} FROM ${MESSAGES} WHERE queue = ? AND parked = 1 ORDER BY sequence LIMIT ?`,
  overdue: `SELECT ${REMOVABLE} FROM ${MESSAGES} WHERE queue = ? AND deadline <= ? ORDER BY deadline LIMIT ?`,
  nextDeadline: `SELECT min(deadline) AS deadline FROM ${MESSAGES} WHERE queue = ? AND deadline IS NOT NULL`,
  gone: 'INSERT INTO skerry_spool_gone (batch, queue, why, ended_at, ids) VALUES (?, ?, ?, ?, ?)',
  forgetGone: 'DELETE FROM skerry_spool_gone WHERE batch <= ?',
  goneBatches: 'SELECT batch, length(ids) / 16 AS count FROM skerry_spool_gone ORDER BY batch',
  bySequence: `SELECT * FROM ${MESSAGES} WHERE sequence = ?`,
  from: `SELECT sequence, id, substr(record, 1, 16) AS head FROM ${MESSAGES} WHERE sequence >= ? ORDER BY sequence LIMIT ?`,
  ends: `SELECT (SELECT min(sequence) FROM ${MESSAGES}) AS first, (SELECT max(sequence) FROM ${MESSAGES}) AS last`,
  release: `UPDATE ${MESSAGES} SET parked = 0, attempts = 0, error = NULL WHERE sequence = ?`,
  acceptedAt: `SELECT accepted_at, id, substr(record, 1, 16) AS head FROM ${MESSAGES} WHERE sequence = ?`,
};

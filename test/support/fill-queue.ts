/** A node's database with a long queue in it, as an outage of days leaves it. */

import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import Database from 'better-sqlite3';
import { migrate } from '../../edge-components/drivers/sqlite/migrate.ts';
import { storedRecord } from '../../edge-components/drivers/sqlite/spool-record.ts';
import { SPOOL_MIGRATION } from '../../edge-components/drivers/sqlite/spool-schema.ts';

export interface Fill {
  readonly path: string;
  /** Queue name: `<app id>/<component>`. */
  readonly queue: string;
  readonly messages: number;
  /** Message number `n`, from 1. */
  message(n: number, id: string): QueuedMessage;
}

export interface QueuedMessage {
  /** Order key. */
  readonly key: string;
  readonly payload: Buffer;
  readonly headers: Readonly<Record<string, string>>;
  /** As the caps count it; absent: the size of its record. */
  readonly bytes?: number;
  /** Elapsed time of the node at which it expires; a queue that is filled begins at 0. Absent: never. */
  readonly deadline?: number;
}

export function fillQueue({ path, queue, messages, message }: Fill): void {
  mkdirSync(dirname(path), { recursive: true });
  const database = new Database(path);
  database.pragma('auto_vacuum = INCREMENTAL');
  database.pragma('journal_mode = WAL');
  database.pragma('synchronous = OFF');
  migrate(database, [SPOOL_MIGRATION]);
  const insert = database.prepare(
    `INSERT INTO skerry_spool_message (sequence, queue, key, priority, bytes, id, accepted_at, deadline, record, crc)
      VALUES (?, 1, ?, 4, ?, ?, ?, ?, ?, ?)`,
  );
  database.exec('BEGIN');
  let total = 0;
  for (let n = 1; n <= messages; n += 1) {
    const id = `01900000-0000-7000-8000-${n.toString(16).padStart(12, '0')}`;
    const { key, payload, headers, bytes, deadline = null } = message(n, id);
    const row = storedRecord(id, 1_700_000_000_000 + n, { payload, headers });
    const size = bytes ?? row.record.length;
    insert.run(n, key, size, row.id, row.acceptedAt, deadline, row.record, row.crc);
    total += size;
  }
  database
    .prepare(
      'INSERT INTO skerry_spool_queue (id, name, accepted, pending, pendingBytes, last_sequence) VALUES (1, ?, ?, ?, ?, ?)',
    )
    .run(queue, messages, messages, total, messages);
  database.exec('COMMIT');
  database.close();
}

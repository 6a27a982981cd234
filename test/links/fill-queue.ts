/** A node's database with a long queue of CloudEvents in it, as an outage of days leaves it. */

import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { crc32 } from 'node:zlib';
import Database from 'better-sqlite3';
import { encodeRecord } from '../../edge-components/drivers/cbor/record.ts';
import { migrate } from '../../edge-components/drivers/sqlite/migrate.ts';
import { SPOOL_MIGRATION } from '../../edge-components/drivers/sqlite/spool-schema.ts';

export interface Fill {
  readonly path: string;
  /** Queue name: `<app id>/<component>`. */
  readonly queue: string;
  readonly topic: string;
  readonly messages: number;
  readonly keys: number;
  /** Size of the data of each event. */
  readonly bytes: number;
}

export function fillQueue({ path, queue, topic, messages, keys, bytes }: Fill): void {
  mkdirSync(dirname(path), { recursive: true });
  const database = new Database(path);
  database.pragma('auto_vacuum = INCREMENTAL');
  database.pragma('journal_mode = WAL');
  database.pragma('synchronous = OFF');
  migrate(database, [SPOOL_MIGRATION]);
  const insert = database.prepare(
    `INSERT INTO skerry_spool_message (sequence, queue, key, priority, bytes, id, accepted_at, record, crc)
      VALUES (?, 1, ?, 4, ?, ?, ?, ?, ?)`,
  );
  database.exec('BEGIN');
  let total = 0;
  for (let n = 1; n <= messages; n += 1) {
    const key = `k${n % keys}`;
    const id = `01900000-0000-7000-8000-${n.toString(16).padStart(12, '0')}`;
    const data = { key, n: Math.ceil(n / keys), text: '' };
    data.text = 'x'.repeat(Math.max(0, bytes - JSON.stringify(data).length));
    const event = {
      specversion: '1.0',
      id,
      source: 'edge',
      type: 'com.dapr.event.sent',
      datacontenttype: 'application/json',
      topic,
      pubsubname: 'pubsub',
      time: '2026-01-01T00:00:00Z',
      data,
    };
    const record = encodeRecord({
      payload: Buffer.from(JSON.stringify(event)),
      headers: { topic, contentType: 'application/cloudevents+json', 'm.partitionKey': key },
    });
    insert.run(n, `${topic}\n${key}`, record.length, id, 1_700_000_000_000 + n, record, crc32(record));
    total += record.length;
  }
  database
    .prepare(
      'INSERT INTO skerry_spool_queue (id, name, accepted, pending, pendingBytes, last_sequence) VALUES (1, ?, ?, ?, ?, ?)',
    )
    .run(queue, messages, messages, total, messages);
  database.exec('COMMIT');
  database.close();
}

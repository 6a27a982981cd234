/**
 * Messages whose bytes on disk are not what was accepted: a wrong bit inside a value, which SQLite does not notice. They
 * are told and set aside in a table of their own, the last hundred, and never delivered as if they were right.
 */

import { crc32 } from 'node:zlib';
import type { Database, SqlStep, SqlValue } from '../../runtime/contracts/database.ts';
import { errorText } from '../../runtime/contracts/error.ts';
import type { Logger } from '../../runtime/contracts/logger.ts';
import { bufferOf, step } from './schema.ts';

type Row = Readonly<Record<string, SqlValue>>;

const KEPT = 100;
/** Told one by one up to here, so that a ruined disk does not fill the log as well. */
const TOLD = 100;

/** Checksum of a message, signed (four bytes on disk). */
export function messageCrc(topic: Buffer | string, payload: Buffer, properties: Buffer): number {
  return crc32(properties, crc32(payload, crc32(topic))) | 0;
}

/** Whether a row with topic, payload, properties and crc is as it was written; older rows have no checksum. */
export function isWhole(row: Row): boolean {
  const { crc = null, topic, payload, properties } = row;
  return crc === null || crc === messageCrc(String(topic), bufferOf(payload), bufferOf(properties));
}

export class DamagedMessages {
  readonly #database: Database;
  readonly #log: Logger;
  #told = 0;

  constructor(database: Database, log: Logger) {
    this.#database = database;
    this.#log = log;
  }

  /** Sets a row aside; `remove` takes it from where it was. */
  setAside(kind: 'queued' | 'retained' | 'will', name: string, row: Row, remove: readonly SqlStep[]): void {
    const topic = String(row['topic']);
    const payload = bufferOf(row['payload']);
    if (this.#told < TOLD)
      this.#log.error('MQTT broker: a stored message is damaged; it is set aside and not delivered', {
        kind,
        name,
        topic,
        bytes: payload.length,
      });
    this.#told += 1;
    const sql = 'INSERT INTO mqtt_damaged (kind, name, topic, payload, properties) VALUES (?, ?, ?, ?, ?)';
    const trim = 'DELETE FROM mqtt_damaged WHERE id <= (SELECT max(id) FROM mqtt_damaged) - ?';
    const insert = step(sql, kind, name, topic, payload, row['properties'] ?? null);
    this.#database.write([insert, step(trim, KEPT), ...remove]).catch((error: unknown) => {
      this.#log.error('MQTT broker: a damaged message cannot be set aside', { error: errorText(error) });
    });
  }
}

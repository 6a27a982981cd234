/**
 * Messages read back from the database. SQLite does not notice a wrong bit inside a value; what it made of a message
 * must neither end the process nor, again and again, the connection of whoever the message is for.
 */

import type { SqlValue } from '../../runtime/contracts/database.ts';
import { checkTopic, type Message, messageOf } from './message.ts';
import { bufferOf } from './schema.ts';
import { ALLOWED, eachProperty, Reader, varintSize, writeVarint } from './wire/properties.ts';

type Row = Readonly<Record<string, SqlValue>>;

/** The message of a row with topic, payload, properties and `expires_at`; `undefined` when its topic can be none. */
export function storedMessage(row: Row, qos: number, retain: boolean): Message | undefined {
  const topic = String(row['topic']);
  if (!isTopic(topic)) return undefined;
  const properties = storedProperties(row['properties']);
  const payload = bufferOf(row['payload']);
  return messageOf(topic, payload, clampQos(qos), retain, properties, storedNumber(row['expires_at']));
}

/** Whether a client may get a message under this name. */
export function isTopic(topic: string): boolean {
  try {
    checkTopic(topic, Buffer.from(topic));
    return true;
  } catch {
    return false;
  }
}

/** The properties of a message as they travel; none when they can not be read as such. */
export function storedProperties(value: SqlValue | undefined): Buffer {
  const bytes = bufferOf(value);
  if (bytes.length === 0) return bytes;
  const framed = Buffer.alloc(varintSize(bytes.length) + bytes.length);
  bytes.copy(framed, writeVarint(framed, 0, bytes.length));
  try {
    eachProperty(new Reader(framed, 0, framed.length), ALLOWED.publish, () => {});
    return bytes;
  } catch {
    return Buffer.alloc(0);
  }
}

/** A number that may be absent. */
export function storedNumber(value: SqlValue | undefined): number | undefined {
  const number = typeof value === 'number' || typeof value === 'bigint' ? Number(value) : Number.NaN;
  return Number.isFinite(number) ? number : undefined;
}

/** A quality of service. */
export function clampQos(value: number): number {
  return value === 1 || value === 2 ? value : value > 2 ? 2 : 0;
}

/**
 * The broker's tables in the node's database.
 *
 * Invariants: a message row exists while a delivery row names it (kept by the trigger, whatever deletes the delivery);
 * message ids grow in the order of acceptance, so the order of a session's queue is the order of its rows; a row that
 * is there was acknowledged to its publisher or will be sent again by it.
 */

import { deserialize, serialize } from 'node:v8';
import type { Migration, SqlStep, SqlValue } from '../../runtime/contracts/database.ts';

const TABLES = [
  `CREATE TABLE mqtt_session (
     id INTEGER PRIMARY KEY, client TEXT NOT NULL UNIQUE, expiry_seconds INTEGER)`,
  `CREATE TABLE mqtt_subscription (
     session INTEGER NOT NULL, filter TEXT NOT NULL, qos INTEGER NOT NULL, options BLOB,
     PRIMARY KEY (session, filter)) WITHOUT ROWID`,
  `CREATE TABLE mqtt_message (
     id INTEGER PRIMARY KEY, topic TEXT NOT NULL, payload BLOB NOT NULL, properties BLOB, expires_at INTEGER,
     refs INTEGER NOT NULL)`,
  // qos: as granted to the session; state 0 waits or was sent, 2 PUBREC seen
  `CREATE TABLE mqtt_delivery (
     session INTEGER NOT NULL, message INTEGER NOT NULL, qos INTEGER NOT NULL, retain INTEGER NOT NULL,
     size INTEGER NOT NULL, state INTEGER NOT NULL DEFAULT 0, packet_id INTEGER,
     PRIMARY KEY (session, message)) WITHOUT ROWID`,
  `CREATE TRIGGER mqtt_delivery_gone AFTER DELETE ON mqtt_delivery BEGIN
     DELETE FROM mqtt_message WHERE id = OLD.message AND refs <= 1;
     UPDATE mqtt_message SET refs = refs - 1 WHERE id = OLD.message;
   END`,
  `CREATE TABLE mqtt_retained (
     topic TEXT PRIMARY KEY, payload BLOB NOT NULL, qos INTEGER NOT NULL, properties BLOB, expires_at INTEGER)`,
  // packet ids of QoS 2 messages that were accepted and not yet released by their publisher
  `CREATE TABLE mqtt_received (
     client TEXT NOT NULL, packet_id INTEGER NOT NULL, PRIMARY KEY (client, packet_id)) WITHOUT ROWID`,
  `CREATE TABLE mqtt_will (
     client TEXT PRIMARY KEY, topic TEXT NOT NULL, payload BLOB NOT NULL, qos INTEGER NOT NULL,
     retain INTEGER NOT NULL, properties BLOB)`,
];

/**
 * Level 2: times count elapsed milliseconds (`mqtt_clock`), properties are bytes of the protocol, packet ids are given at
 * acceptance, sessions know their user and since when they are alone, wills their delay.
 */
const ELAPSED_TIME = [
  'ALTER TABLE mqtt_session ADD COLUMN ended_at INTEGER',
  'ALTER TABLE mqtt_session ADD COLUMN sent_to INTEGER',
  'ALTER TABLE mqtt_session ADD COLUMN user TEXT',
  'ALTER TABLE mqtt_will ADD COLUMN expiry INTEGER',
  'ALTER TABLE mqtt_will ADD COLUMN delay INTEGER NOT NULL DEFAULT 0',
  'ALTER TABLE mqtt_will ADD COLUMN due INTEGER',
  'UPDATE mqtt_message SET properties = NULL, expires_at = NULL',
  'UPDATE mqtt_retained SET properties = NULL, expires_at = NULL',
  'UPDATE mqtt_will SET properties = NULL',
  'CREATE TABLE mqtt_clock (id INTEGER PRIMARY KEY CHECK (id = 1), elapsed_ms INTEGER NOT NULL)',
  'INSERT OR IGNORE INTO mqtt_clock (id, elapsed_ms) VALUES (1, 0)',
];

/** Level 3: checksums (see `damaged-messages.ts`); rows of before have none. */
const CHECKSUMS = [
  'ALTER TABLE mqtt_message ADD COLUMN crc INTEGER',
  'ALTER TABLE mqtt_retained ADD COLUMN crc INTEGER',
  'ALTER TABLE mqtt_will ADD COLUMN crc INTEGER',
  `CREATE TABLE mqtt_damaged (
     id INTEGER PRIMARY KEY, kind TEXT NOT NULL, name TEXT NOT NULL, topic TEXT, payload BLOB, properties BLOB)`,
];

/** The broker's part of the node's schema. */
export const BROKER_MIGRATION: Migration = {
  metadataTable: 'skerry_schema',
  key: 'mqtt-broker',
  levels: [TABLES, ELAPSED_TIME, CHECKSUMS],
  // After damage: no delivery without its message and session, no message without a delivery, counts as they are.
  repair: [
    'DELETE FROM mqtt_subscription WHERE session NOT IN (SELECT id FROM mqtt_session)',
    `DELETE FROM mqtt_delivery WHERE message NOT IN (SELECT id FROM mqtt_message)
      OR session NOT IN (SELECT id FROM mqtt_session)`,
    'DELETE FROM mqtt_message WHERE id NOT IN (SELECT message FROM mqtt_delivery)',
    'UPDATE mqtt_message SET refs = (SELECT count(*) FROM mqtt_delivery WHERE message = mqtt_message.id)',
    'INSERT OR IGNORE INTO mqtt_clock (id, elapsed_ms) VALUES (1, 0)',
  ],
};

/** Subscription options as a blob, or null when there are none. */
export function encodeOptions(options: Readonly<Record<string, unknown>>): Uint8Array | null {
  return Object.keys(options).length === 0 ? null : serialize(options);
}

export function decodeOptions(value: SqlValue | undefined): Record<string, unknown> {
  if (!(value instanceof Uint8Array)) return {};
  try {
    const options: unknown = deserialize(value);
    return typeof options === 'object' && options !== null ? (options as Record<string, unknown>) : {};
  } catch {
    return {}; // A wrong bit: better a subscription without its options than a broker that does not start.
  }
}

/** A step with its parameters. */
export function step(sql: string, ...params: SqlValue[]): SqlStep {
  return { sql, params };
}

/** A blob column as a Buffer, without copying. */
export function bufferOf(value: SqlValue | undefined): Buffer {
  if (!(value instanceof Uint8Array)) return Buffer.alloc(0);
  return Buffer.from(value.buffer, value.byteOffset, value.byteLength);
}

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
  // qos: as granted to the session; state 0 waits, 1 sent with packet_id (QoS 2 only), 2 PUBREC seen
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

/** The broker's part of the node's schema. */
export const BROKER_MIGRATION: Migration = {
  metadataTable: 'skerry_schema',
  key: 'mqtt-broker',
  levels: [TABLES],
  // After damage: no delivery without its message and session, no message without a delivery, counts as they are.
  repair: [
    'DELETE FROM mqtt_subscription WHERE session NOT IN (SELECT id FROM mqtt_session)',
    `DELETE FROM mqtt_delivery WHERE message NOT IN (SELECT id FROM mqtt_message)
      OR session NOT IN (SELECT id FROM mqtt_session)`,
    'DELETE FROM mqtt_message WHERE id NOT IN (SELECT message FROM mqtt_delivery)',
    'UPDATE mqtt_message SET refs = (SELECT count(*) FROM mqtt_delivery WHERE message = mqtt_message.id)',
  ],
};

/** Bytes of MQTT 5 properties (they may hold buffers), or null when there are none. */
export function encodeProperties(
  properties: Readonly<Record<string, unknown>> | undefined,
): Uint8Array | null {
  return properties === undefined || Object.keys(properties).length === 0 ? null : serialize(properties);
}

export function decodeProperties(value: SqlValue | undefined): Record<string, unknown> | undefined {
  return value instanceof Uint8Array ? (deserialize(value) as Record<string, unknown>) : undefined;
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

/** Text as a blob without copying when it is a Buffer already. */
export function bytesOf(payload: Buffer | string): Uint8Array {
  return typeof payload === 'string' ? Buffer.from(payload) : payload;
}

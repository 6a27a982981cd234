/**
 * Retained messages: payloads on disk, topics and sizes in memory. A subscriber gets them a page at a time, so a
 * wildcard over many topics costs no memory. New topics beyond the limit are refused; known topics are replaced always.
 */

import type { Database, SqlStep } from '../../runtime/contracts/database.ts';
import { hasWildcard, matcher } from '../drivers/mqtt/topic.ts';
import { type DamagedMessages, isWhole, messageCrc } from './damaged-messages.ts';
import type { Message } from './message.ts';
import { step } from './schema.ts';
import { storedMessage, storedNumber } from './stored-message.ts';

/** Messages read at a time. */
export const RETAINED_PAGE = 64;

export interface RetainedLimits {
  readonly maxMessages: number;
  readonly maxBytes: number;
}

/** A change of the retained set: steps to write and what to do once they are on disk. */
export interface RetainedChange {
  readonly steps: readonly SqlStep[];
  committed(): void;
}

export class RetainedMessages {
  readonly #database: Database;
  readonly #limits: RetainedLimits;
  readonly #damaged: DamagedMessages;
  readonly #sizes = new Map<string, number>();
  #bytes = 0;

  constructor(database: Database, limits: RetainedLimits, damaged: DamagedMessages) {
    this.#database = database;
    this.#limits = limits;
    this.#damaged = damaged;
    for (const row of database.read('SELECT topic, length(payload) AS size FROM mqtt_retained')) {
      this.#note(String(row['topic']), Number(row['size']));
    }
  }

  get count(): number {
    return this.#sizes.size;
  }

  /** What keeping `message` takes ([MQTT-3.3.1-5], [MQTT-3.3.1-10]); `undefined` when there is no room for it. */
  change(message: Message): RetainedChange | undefined {
    const { topic, topicBytes, payload, qos, properties, expiresAt } = message;
    if (payload.length === 0) return this.removal(topic);
    const known = this.#sizes.get(topic);
    const full =
      (known === undefined && this.#sizes.size >= this.#limits.maxMessages) ||
      this.#bytes - (known ?? 0) + payload.length > this.#limits.maxBytes;
    if (full) return undefined;
    const sql =
      'INSERT OR REPLACE INTO mqtt_retained (topic, payload, qos, properties, expires_at, crc) VALUES (?, ?, ?, ?, ?, ?)';
    const kept = properties.length === 0 ? null : properties;
    const crc = messageCrc(topicBytes, payload, properties);
    return {
      steps: [step(sql, topic, payload, qos, kept, expiresAt ?? null, crc)],
      committed: () => this.#note(topic, payload.length),
    };
  }

  removal(topic: string): RetainedChange {
    return {
      steps: [step('DELETE FROM mqtt_retained WHERE topic = ?', topic)],
      committed: () => this.#drop(topic),
    };
  }

  /** Topics with a retained message under `filter`. */
  topics(filter: string): readonly string[] {
    if (!hasWildcard(filter)) return this.#sizes.has(filter) ? [filter] : [];
    const matches = matcher(filter);
    const found: string[] = [];
    for (const topic of this.#sizes.keys()) if (matches(topic)) found.push(topic);
    return found;
  }

  /** The messages of up to `RETAINED_PAGE` topics; what expired is removed. */
  read(topics: readonly string[], now: number): Message[] {
    const rows = this.#database.read(
      `SELECT topic, payload, qos, properties, expires_at, crc FROM mqtt_retained
       WHERE topic IN (SELECT value FROM json_each(?)) ORDER BY rowid`,
      [JSON.stringify(topics)],
    );
    const found: Message[] = [];
    for (const row of rows) {
      const topic = String(row['topic']);
      if (!isWhole(row)) {
        const removal = 'DELETE FROM mqtt_retained WHERE topic = ? AND crc = ?';
        this.#damaged.setAside('retained', topic, row, [step(removal, topic, row['crc'] ?? null)]);
        this.#drop(topic);
        continue;
      }
      const expiresAt = storedNumber(row['expires_at']);
      if (expiresAt !== undefined && expiresAt <= now) {
        this.#expired(topic, expiresAt);
        continue;
      }
      const message = storedMessage(row, Number(row['qos']), true);
      if (message !== undefined) found.push(message);
    }
    return found;
  }

  #expired(topic: string, expiresAt: number): void {
    const sql = 'DELETE FROM mqtt_retained WHERE topic = ? AND expires_at = ?';
    this.#database.write([{ ...step(sql, topic, expiresAt), atLeast: 1 }]).then(
      () => this.#drop(topic),
      () => {}, // a newer message took its place
    );
  }

  #note(topic: string, size: number): void {
    this.#bytes += size - (this.#sizes.get(topic) ?? 0);
    this.#sizes.set(topic, size);
  }

  #drop(topic: string): void {
    this.#bytes -= this.#sizes.get(topic) ?? 0;
    this.#sizes.delete(topic);
  }
}

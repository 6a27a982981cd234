/**
 * Retained messages: payloads on disk, topics and sizes in memory. A subscriber gets them a page at a time, so a
 * wildcard over many topics costs no memory. New topics beyond the limit are refused; known topics are replaced always.
 */

import type { Database, SqlStep } from '../../runtime/contracts/database.ts';
import { hasWildcard, matcher, sharedFilter } from '../drivers/mqtt/topic.ts';
import type { BrokerPacket } from './packet.ts';
import { bufferOf, decodeProperties, encodeProperties, step } from './schema.ts';

const PAGE = 64;

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
  readonly #sizes = new Map<string, number>();
  #bytes = 0;

  constructor(database: Database, limits: RetainedLimits) {
    this.#database = database;
    this.#limits = limits;
    for (const row of database.read('SELECT topic, length(payload) AS size FROM mqtt_retained')) {
      this.#note(String(row['topic']), Number(row['size']));
    }
  }

  get count(): number {
    return this.#sizes.size;
  }

  /** What keeping `packet` takes ([MQTT-3.3.1-5], [MQTT-3.3.1-10]); `undefined` when there is no room for it. */
  change(packet: BrokerPacket): RetainedChange | undefined {
    const { topic, payload } = packet;
    if (payload.length === 0) return this.removal(topic);
    const known = this.#sizes.get(topic);
    const full =
      (known === undefined && this.#sizes.size >= this.#limits.maxMessages) ||
      this.#bytes - (known ?? 0) + payload.length > this.#limits.maxBytes;
    if (full) return undefined;
    const sql =
      'INSERT OR REPLACE INTO mqtt_retained (topic, payload, qos, properties, expires_at) VALUES (?, ?, ?, ?, ?)';
    const { qos, messageExpiry } = packet;
    return {
      steps: [step(sql, topic, payload, qos, encodeProperties(packet.properties), messageExpiry ?? null)],
      committed: () => this.#note(topic, payload.length),
    };
  }

  removal(topic: string): RetainedChange {
    return {
      steps: [step('DELETE FROM mqtt_retained WHERE topic = ?', topic)],
      committed: () => this.#drop(topic),
    };
  }

  /** Retained messages under any of `filters`; none for shared subscriptions ([MQTT-4.8.2-27]). */
  async *matching(filters: readonly string[]): AsyncGenerator<BrokerPacket> {
    const topics = new Set<string>();
    for (const filter of filters) {
      if (sharedFilter(filter) !== undefined) continue;
      if (!hasWildcard(filter)) {
        if (this.#sizes.has(filter)) topics.add(filter);
        continue;
      }
      const matches = matcher(filter);
      for (const topic of this.#sizes.keys()) if (matches(topic)) topics.add(topic);
    }
    const all = [...topics];
    for (let start = 0; start < all.length; start += PAGE) yield* this.#page(all.slice(start, start + PAGE));
  }

  #page(topics: readonly string[]): BrokerPacket[] {
    const rows = this.#database.read(
      `SELECT topic, payload, qos, properties, expires_at FROM mqtt_retained
       WHERE topic IN (SELECT value FROM json_each(?)) ORDER BY rowid`,
      [JSON.stringify(topics)],
    );
    return rows.map((row) => {
      const properties = decodeProperties(row['properties']);
      return {
        cmd: 'publish',
        topic: String(row['topic']),
        payload: bufferOf(row['payload']),
        qos: Number(row['qos']),
        retain: true,
        ...(properties === undefined ? {} : { properties }),
        ...(row['expires_at'] === null ? {} : { messageExpiry: Number(row['expires_at']) }),
      };
    });
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

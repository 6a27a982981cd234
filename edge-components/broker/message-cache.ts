/** Messages of queues on their way to a client: from memory when they just came in, otherwise from disk. */

import type { Database } from '../../runtime/contracts/database.ts';
import type { BrokerPacket } from './packet.ts';
import { bufferOf, decodeProperties } from './schema.ts';
import type { StoredMessage } from './session.ts';

const MAX_BYTES = 4 * 1024 * 1024;
const MAX_MESSAGES = 4096;

export class MessageCache {
  readonly #database: Database;
  readonly #recent = new Map<number, StoredMessage>();
  #bytes = 0;

  constructor(database: Database) {
    this.#database = database;
  }

  /** Keeps a message that is about to be sent; the oldest make room. */
  remember(id: number, packet: BrokerPacket): void {
    const { topic, payload, properties, messageExpiry } = packet;
    this.#recent.set(id, { topic, payload, properties, expiresAt: messageExpiry });
    this.#bytes += payload.length;
    for (const [oldest, message] of this.#recent) {
      if (this.#bytes <= MAX_BYTES && this.#recent.size <= MAX_MESSAGES) break;
      this.#recent.delete(oldest);
      this.#bytes -= message.payload.length;
    }
  }

  load(ids: readonly number[]): Map<number, StoredMessage> {
    const found = new Map<number, StoredMessage>();
    const missing: number[] = [];
    for (const id of ids) {
      const recent = this.#recent.get(id);
      if (recent === undefined) missing.push(id);
      else found.set(id, recent);
    }
    if (missing.length > 0) this.#read(missing, found);
    return found;
  }

  #read(ids: readonly number[], found: Map<number, StoredMessage>): void {
    const rows = this.#database.read(
      `SELECT id, topic, payload, properties, expires_at FROM mqtt_message
       WHERE id IN (SELECT value FROM json_each(?))`,
      [JSON.stringify(ids)],
    );
    for (const row of rows) {
      found.set(Number(row['id']), {
        topic: String(row['topic']),
        payload: bufferOf(row['payload']),
        properties: decodeProperties(row['properties']),
        expiresAt: row['expires_at'] === null ? undefined : Number(row['expires_at']),
      });
    }
  }
}

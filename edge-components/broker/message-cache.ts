/** Messages of queues on their way to a client: from memory when they just came in, otherwise from disk. */

import type { Database } from '../../runtime/contracts/database.ts';
import { type Message, messageOf } from './message.ts';
import { bufferOf } from './schema.ts';

const MAX_BYTES = 4 * 1024 * 1024;
const MAX_MESSAGES = 8192;

export class MessageCache {
  readonly #database: Database;
  readonly #recent = new Map<number, Message>();
  #bytes = 0;

  constructor(database: Database) {
    this.#database = database;
  }

  /** Keeps a message that is about to be sent; the oldest make room. */
  remember(message: Message): void {
    this.#recent.set(message.id, message);
    this.#bytes += message.size;
    for (const [oldest, old] of this.#recent) {
      if (this.#bytes <= MAX_BYTES && this.#recent.size <= MAX_MESSAGES) break;
      this.#recent.delete(oldest);
      this.#bytes -= old.size;
    }
  }

  load(ids: readonly number[]): Map<number, Message> {
    const found = new Map<number, Message>();
    const missing: number[] = [];
    for (const id of ids) {
      const recent = this.#recent.get(id);
      if (recent === undefined) missing.push(id);
      else found.set(id, recent);
    }
    if (missing.length > 0) this.#read(missing, found);
    return found;
  }

  #read(ids: readonly number[], found: Map<number, Message>): void {
    const rows = this.#database.read(
      `SELECT id, topic, payload, properties, expires_at FROM mqtt_message
       WHERE id IN (SELECT value FROM json_each(?))`,
      [JSON.stringify(ids)],
    );
    for (const row of rows) {
      const id = Number(row['id']);
      const expires = row['expires_at'] === null ? undefined : Number(row['expires_at']);
      const properties = bufferOf(row['properties']);
      const message = messageOf(
        String(row['topic']),
        bufferOf(row['payload']),
        1,
        false,
        properties,
        expires,
      );
      message.id = id;
      found.set(id, message);
    }
  }
}

/** Messages of queues on their way to a client: from memory when they just came in, otherwise from disk. */

import type { Database } from '../../runtime/contracts/database.ts';
import { type DamagedMessages, isWhole } from './damaged-messages.ts';
import type { Message } from './message.ts';
import { storedMessage } from './stored-message.ts';

const MAX_BYTES = 4 * 1024 * 1024;
const MAX_MESSAGES = 8192;

export class MessageCache {
  readonly #database: Database;
  readonly #damaged: DamagedMessages;
  /** By row, modulo its length: rows grow one by one. */
  readonly #recent: (Message | undefined)[] = [];
  #oldest = 0;
  #newest = -1;
  #bytes = 0;

  constructor(database: Database, damaged: DamagedMessages) {
    this.#database = database;
    this.#damaged = damaged;
  }

  /** Keeps a message that is about to be sent; the oldest make room. */
  remember(message: Message): void {
    const { id } = message;
    if (this.#newest < 0) this.#oldest = id;
    this.#newest = id;
    while (this.#oldest <= id - MAX_MESSAGES || (this.#bytes > MAX_BYTES && this.#oldest < id)) this.#drop();
    this.#recent[id % MAX_MESSAGES] = message;
    this.#bytes += message.size;
  }

  load(ids: readonly number[]): Map<number, Message> {
    const found = new Map<number, Message>();
    const missing: number[] = [];
    for (const id of ids) {
      const recent = this.#recent[id % MAX_MESSAGES];
      if (recent?.id === id) found.set(id, recent);
      else missing.push(id);
    }
    if (missing.length > 0) this.#read(missing, found);
    return found;
  }

  #drop(): void {
    const at = this.#oldest % MAX_MESSAGES;
    const message = this.#recent[at];
    if (message?.id === this.#oldest) {
      this.#bytes -= message.size;
      this.#recent[at] = undefined;
    }
    this.#oldest += 1;
  }

  #read(ids: readonly number[], found: Map<number, Message>): void {
    const rows = this.#database.read(
      `SELECT id, topic, payload, properties, expires_at, crc FROM mqtt_message
       WHERE id IN (SELECT value FROM json_each(?))`,
      [JSON.stringify(ids)],
    );
    for (const row of rows) {
      const id = Number(row['id']);
      if (!isWhole(row)) {
        // Its place in the queues is given up by those who asked for it.
        this.#damaged.setAside('queued', String(id), row, []);
        continue;
      }
      const message = storedMessage(row, 1, false);
      if (message === undefined) continue;
      message.id = id;
      found.set(id, message);
    }
  }
}

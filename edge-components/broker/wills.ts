/**
 * Will messages, on disk while their connection lasts and while their delay runs: neither a crash of the broker nor a
 * restart silences them ([MQTT-3.1.2-8], [MQTT-3.1.3-9]).
 */

import type { Timer } from '../../runtime/contracts/clock.ts';
import type { Database, SqlValue } from '../../runtime/contracts/database.ts';
import { type DamagedMessages, isWhole, messageCrc } from './damaged-messages.ts';
import type { ElapsedTime } from './elapsed-time.ts';
import { type Message, messageOf } from './message.ts';
import { bufferOf, step } from './schema.ts';
import { clampQos, isTopic, storedNumber, storedProperties } from './stored-message.ts';
import type { WillRequest } from './wire/connect.ts';

export interface StoredWill {
  readonly clientId: string;
  readonly will: WillRequest;
  /** Elapsed time at which it has to go out; `undefined`: its connection lasted until the broker ended. */
  readonly due: number | undefined;
}

export class Wills {
  readonly #database: Database;
  readonly #time: ElapsedTime;
  readonly #damaged: DamagedMessages;
  readonly #delayed = new Map<string, Timer>();
  /** Clients with a will on disk, and the connection it belongs to; `undefined` for one of an earlier run. */
  readonly #owners = new Map<string, object | undefined>();

  constructor(database: Database, time: ElapsedTime, damaged: DamagedMessages) {
    this.#database = database;
    this.#time = time;
    this.#damaged = damaged;
  }

  /** Keeps the will of a connection that is being made; one that an earlier connection left is not sent any more. */
  async put(clientId: string, will: WillRequest, owner: object): Promise<void> {
    this.#cancel(clientId);
    this.#owners.set(clientId, owner);
    const { topic, payload, qos, retain, properties, expiry, delay } = will;
    const sql = `INSERT OR REPLACE INTO mqtt_will (client, topic, payload, qos, retain, properties, expiry, delay, crc)
      VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`;
    const bytes = properties.length === 0 ? null : properties;
    const crc = messageCrc(topic, payload, properties);
    const params = [
      clientId,
      topic,
      payload,
      qos,
      retain ? 1 : 0,
      bytes,
      expiry ?? null,
      delay,
      crc,
    ] as const;
    await this.#database.write([step(sql, ...params)]);
  }

  /** A connection without a will takes the place of one that left a delayed will. */
  async replaced(clientId: string): Promise<void> {
    if (this.#owners.has(clientId)) await this.remove(clientId, this.#owners.get(clientId));
  }

  /** Forgets the will of `owner`; a newer connection of the client may have put its own in that place. */
  async remove(clientId: string, owner: object | undefined): Promise<void> {
    if (!this.#owners.has(clientId) || this.#owners.get(clientId) !== owner) return;
    this.#cancel(clientId);
    this.#owners.delete(clientId);
    await this.#database.write([step('DELETE FROM mqtt_will WHERE client = ?', clientId)]);
  }

  /** The delay of a will begins: noted, so that it goes on after a restart. */
  async delay(clientId: string, seconds: number, owner: object): Promise<void> {
    if (this.#owners.get(clientId) !== owner) return;
    const due = this.#time.now() + seconds * 1000;
    await this.#database.write([step('UPDATE mqtt_will SET due = ? WHERE client = ?', due, clientId)]);
  }

  /** Publishes what an earlier run left, each when its delay is over. */
  resume(publish: (clientId: string, message: Message, done: () => void) => void): void {
    const now = this.#time.now();
    for (const { clientId, will, due } of this.#stored()) {
      this.#owners.set(clientId, undefined);
      const send = (): void => {
        this.#delayed.delete(clientId);
        publish(clientId, willMessage(will, this.#time.now()), () => {
          this.remove(clientId, undefined).catch(() => {}); // it would be sent once more after the next start
        });
      };
      const wait = (due ?? now + will.delay * 1000) - now;
      if (wait <= 0) send();
      else this.#delayed.set(clientId, this.#time.after(wait, send));
    }
  }

  #cancel(clientId: string): void {
    this.#delayed.get(clientId)?.cancel();
    this.#delayed.delete(clientId);
  }

  #isSound(row: Readonly<Record<string, SqlValue>>): boolean {
    if (isWhole(row)) return isTopic(String(row['topic']));
    const client = String(row['client']);
    const removal = 'DELETE FROM mqtt_will WHERE client = ? AND crc = ?';
    this.#damaged.setAside('will', client, row, [step(removal, client, row['crc'] ?? null)]);
    return false;
  }

  #stored(): StoredWill[] {
    const sql =
      'SELECT client, topic, payload, qos, retain, properties, expiry, delay, due, crc FROM mqtt_will';
    const rows = this.#database.read(sql).filter((row) => this.#isSound(row));
    return rows.map((row) => ({
      clientId: String(row['client']),
      due: storedNumber(row['due']),
      will: {
        topic: String(row['topic']),
        payload: bufferOf(row['payload']),
        qos: clampQos(Number(row['qos'])),
        retain: row['retain'] === 1,
        properties: storedProperties(row['properties']),
        expiry: storedNumber(row['expiry']),
        delay: storedNumber(row['delay']) ?? 0,
      },
    }));
  }
}

/** A will as it is published. */
export function willMessage(will: WillRequest, now: number): Message {
  const { topic, payload, qos, retain, properties, expiry } = will;
  const expiresAt = expiry === undefined ? undefined : now + expiry * 1000;
  return messageOf(topic, payload, qos, retain, properties, expiresAt);
}

/** Will messages of connected clients, on disk while the connection lasts: a crash of the broker does not silence them. */

import type { Database } from '../../runtime/contracts/database.ts';
import type { BrokerPacket } from './packet.ts';
import { bufferOf, bytesOf, decodeProperties, encodeProperties, step } from './schema.ts';

export interface Will {
  topic: string;
  payload: Buffer | string;
  qos: number;
  retain: boolean;
  properties?: Readonly<Record<string, unknown>>;
  clientId?: string;
  brokerId?: string;
}

export class Wills {
  readonly #database: Database;
  readonly #wills = new Map<string, Will>();
  /** Connections with a will per client: one that is taken over ends after its successor began. */
  readonly #owed = new Map<string, number>();

  constructor(database: Database) {
    this.#database = database;
  }

  get(clientId: string): Will | undefined {
    return this.#wills.get(clientId);
  }

  async put(clientId: string, will: Will): Promise<void> {
    this.#wills.set(clientId, will);
    this.#owed.set(clientId, (this.#owed.get(clientId) ?? 0) + 1);
    const { topic, payload, qos, retain, properties } = will;
    const sql = `INSERT OR REPLACE INTO mqtt_will (client, topic, payload, qos, retain, properties)
      VALUES (?, ?, ?, ?, ?, ?)`;
    const params = [
      clientId,
      topic,
      bytesOf(payload),
      qos,
      retain ? 1 : 0,
      encodeProperties(properties),
    ] as const;
    await this.#database.write([step(sql, ...params)]);
  }

  async delete(clientId: string): Promise<Will | undefined> {
    const will = this.#wills.get(clientId);
    if (will === undefined) return undefined;
    const owed = (this.#owed.get(clientId) ?? 1) - 1;
    if (owed > 0) {
      this.#owed.set(clientId, owed);
      return will;
    }
    this.#owed.delete(clientId);
    this.#wills.delete(clientId);
    await this.#database.write([step('DELETE FROM mqtt_will WHERE client = ?', clientId)]);
    return will;
  }

  /** Wills of connections that an earlier run of the broker lost ([MQTT-3.1.2-8]). */
  leftBehind(): readonly { readonly clientId: string; readonly packet: BrokerPacket }[] {
    return this.#database
      .read('SELECT client, topic, payload, qos, retain, properties FROM mqtt_will')
      .map((row) => {
        const properties = decodeProperties(row['properties']);
        return {
          clientId: String(row['client']),
          packet: {
            cmd: 'publish',
            topic: String(row['topic']),
            payload: bufferOf(row['payload']),
            qos: Number(row['qos']),
            retain: row['retain'] === 1,
            ...(properties === undefined ? {} : { properties }),
          },
        };
      });
  }

  async discard(clientId: string): Promise<void> {
    await this.#database.write([step('DELETE FROM mqtt_will WHERE client = ?', clientId)]);
  }
}

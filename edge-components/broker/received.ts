/**
 * Packet ids of incoming QoS 2 messages between PUBLISH and PUBREL ([MQTT-4.3.3-2]): a repeated PUBLISH with such an id
 * is the same message. Ids of persistent sessions are on disk, written together with the message itself.
 */

import type { Database } from '../../runtime/contracts/database.ts';
import { step } from './schema.ts';

export class ReceivedIds {
  readonly #database: Database;
  /** The promise settles once the message is on disk. */
  readonly #ids = new Map<string, Map<number, Promise<void>>>();

  constructor(database: Database) {
    this.#database = database;
    for (const row of database.read('SELECT client, packet_id FROM mqtt_received')) {
      this.#of(String(row['client'])).set(Number(row['packet_id']), Promise.resolve());
    }
  }

  /** The acceptance of the message with this id, if it is one we have. */
  get(clientId: string, packetId: number): Promise<void> | undefined {
    return this.#ids.get(clientId)?.get(packetId);
  }

  /** Notes a message whose acceptance is on its way; a failed one is forgotten. */
  async add(clientId: string, packetId: number, accepted: Promise<void>): Promise<void> {
    const ids = this.#of(clientId);
    ids.set(packetId, accepted);
    try {
      await accepted;
    } catch (error) {
      ids.delete(packetId);
      throw error;
    }
  }

  /** PUBREL: the id is free again. It leaves the disk before PUBCOMP, or a later message would pass for a repetition. */
  async release(clientId: string, packetId: number, persistent: boolean): Promise<void> {
    const ids = this.#ids.get(clientId);
    if (ids?.delete(packetId) === true && ids.size === 0) this.#ids.delete(clientId);
    if (!persistent) return;
    const sql = 'DELETE FROM mqtt_received WHERE client = ? AND packet_id = ?';
    await this.#database.write([step(sql, clientId, packetId)]);
  }

  /** The session ended. */
  async forget(clientId: string, persistent: boolean): Promise<void> {
    const had = this.#ids.delete(clientId);
    if (had && persistent)
      await this.#database.write([step('DELETE FROM mqtt_received WHERE client = ?', clientId)]);
  }

  #of(clientId: string): Map<number, Promise<void>> {
    const ids = this.#ids.get(clientId) ?? new Map<number, Promise<void>>();
    this.#ids.set(clientId, ids);
    return ids;
  }
}

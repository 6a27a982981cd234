/**
 * Clients in a ring: each has a durable session, publishes numbered messages of QoS 1 to its neighbour and leaves now and
 * then. What was acknowledged to one must reach the other, in order; a repeat is no fault, a hole is one.
 */

import { RawMqtt } from '../crash/raw-mqtt.ts';

const PAYLOAD_BYTES = 200;

export class RingClient {
  readonly #id: number;
  readonly #next: number;
  readonly #port: number;
  #client: RawMqtt | undefined;
  /** Number of the last message that was acknowledged. */
  acknowledged = 0;
  /** Number of the last message that came from the neighbour. */
  received = 0;
  repeats = 0;
  readonly faults: string[] = [];
  #sending = false;

  constructor(id: number, next: number, port: number) {
    this.#id = id;
    this.#next = next;
    this.#port = port;
  }

  get isAway(): boolean {
    return this.#client === undefined;
  }

  async connect(): Promise<void> {
    const options = { clientId: `soak-${this.#id}`, clean: false };
    const { client } = await RawMqtt.open(this.#port, new Map(), options, ({ payload }) => {
      this.#take(payload);
      return true;
    });
    this.#client = client;
  }

  async subscribe(): Promise<void> {
    await this.#client?.subscribe([`soak/${this.#id}`], 1);
  }

  leave(): void {
    this.#client?.destroy();
    this.#client = undefined;
  }

  /** Publishes the next message and waits for its PUBACK; one that was cut off is sent again under its number. */
  async publish(): Promise<void> {
    const client = this.#client;
    if (client === undefined || this.#sending) return;
    this.#sending = true;
    try {
      const number = this.acknowledged + 1;
      const payload = Buffer.alloc(PAYLOAD_BYTES, ' ');
      payload.write(String(number));
      await client.publish(`soak/${this.#next}`, payload, 1);
      this.acknowledged = number;
    } catch (error) {
      // It left meanwhile, or the broker closed the connection.
      if (!this.isAway && this.#client === client) this.faults.push(`${this.#id}: ${String(error)}`);
    } finally {
      this.#sending = false;
    }
  }

  #take(payload: Buffer): void {
    const number = Number(payload.toString('latin1'));
    if (number === this.received + 1) this.received = number;
    else if (number <= this.received) this.repeats += 1;
    else {
      this.faults.push(`${this.#id}: ${number} came after ${this.received}`);
      this.received = number;
    }
  }
}

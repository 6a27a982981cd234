/** One visit of a client to the broker under the model. */

import type { Duplex } from 'node:stream';
import { ack, packet, type Received, reader } from '../edge-components/broker/raw-client.ts';

/** Round trips after which what waits on disk has come. */
const DRAIN_ROUNDS = 30;

/** One connection of the node to itself: packets one by one. */
export class Visit {
  readonly #stream: Duplex;
  readonly #next: () => Promise<Received | undefined>;

  constructor(stream: Duplex) {
    this.#stream = stream;
    this.#next = reader(stream);
  }

  send(bytes: Buffer): void {
    this.#stream.write(bytes);
  }

  /** The next packet of this type; PUBRELs on the way are answered. */
  async take(type: number): Promise<Received> {
    for (;;) {
      const one = await this.#next();
      if (one === undefined) throw new Error(`the connection ended before a packet of type ${type}`);
      if (one.type === 6) this.send(ack(0x70, one.body.readUInt16BE(0)));
      if (one.type === type) return one;
    }
  }

  /** The next PUBLISH; one of QoS 0 that was on its way when the client came is none that waited. */
  async takePublish(retained: boolean): Promise<Received> {
    for (;;) {
      const one = await this.take(3);
      if ((one.header & 1) === 1 || (!retained && (one.header & 6) !== 0)) return one;
    }
  }

  /** Everything sent so far was worked on. */
  async settled(): Promise<void> {
    this.send(packet(0xc0));
    await this.take(13);
  }

  /** All PUBLISHes that come by themselves. */
  async drain(): Promise<Received[]> {
    const found: Received[] = [];
    for (let round = 0; round < DRAIN_ROUNDS; round += 1) {
      this.send(packet(0xc0));
      for (;;) {
        const one = await this.#next();
        if (one === undefined) throw new Error('the connection ended while it was read');
        if (one.type === 6) this.send(ack(0x70, one.body.readUInt16BE(0)));
        if (one.type === 3) found.push(one);
        if (one.type === 13) break;
      }
    }
    return found;
  }

  leave(politely: boolean): Promise<void> {
    return new Promise((resolve) => {
      this.#stream.once('close', () => resolve());
      if (politely) this.send(packet(0xe0));
      else this.#stream.destroy();
    });
  }
}

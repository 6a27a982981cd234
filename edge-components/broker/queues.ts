/**
 * Messages that wait for a client. What is on disk is held as numbers, four per message; what lives in memory only as
 * the message itself.
 */

import type { Message } from './message.ts';
import type { Subscription } from './router.ts';

/** One message between a session and its client. */
export interface Outgoing {
  /** Row in the database; 0 for a message of a session that ends with its connection. */
  readonly id: number;
  message: Message | undefined;
  readonly size: number;
  readonly qos: number;
  readonly retain: boolean;
  /** 0 until it is sent for a session in memory; from acceptance on for one on disk. */
  packetId: number;
  /** It may have been sent before. */
  duplicate: boolean;
  /** QoS 2: PUBREC was seen, what is left is PUBREL and PUBCOMP. */
  released: boolean;
  readonly subscriptionIds: readonly number[] | undefined;
  /** The shared subscription it came by, for a session in memory. */
  readonly share?: Subscription | undefined;
}

export interface OutgoingQueue {
  readonly length: number;
  readonly bytes: number;
  push(outgoing: Outgoing): void;
  shift(): Outgoing | undefined;
  /** Puts messages back in front, oldest first. */
  unshift(messages: readonly Outgoing[]): void;
}

const COMPACT_AT = 1024;

/** Queue of a session in memory. */
export class MessageQueue implements OutgoingQueue {
  bytes = 0;
  #items: Outgoing[] = [];
  #head = 0;

  get length(): number {
    return this.#items.length - this.#head;
  }

  push(outgoing: Outgoing): void {
    this.#items.push(outgoing);
    this.bytes += outgoing.size;
  }

  shift(): Outgoing | undefined {
    const first = this.#items[this.#head];
    if (first === undefined) return undefined;
    this.#head += 1;
    this.bytes -= first.size;
    if (this.#head === this.#items.length) {
      this.#items = [];
      this.#head = 0;
    } else if (this.#head >= COMPACT_AT && this.#head * 2 >= this.#items.length) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
    return first;
  }

  unshift(messages: readonly Outgoing[]): void {
    this.#items = [...messages, ...this.#items.slice(this.#head)];
    this.#head = 0;
    for (const one of messages) this.bytes += one.size;
  }
}

/** Queue of a session on disk: row, packet id and the rest packed as size * 16 + duplicate * 8 + qos * 2 + retain. */
export class StoredQueue implements OutgoingQueue {
  bytes = 0;
  #ids: number[] = [];
  #packetIds: number[] = [];
  #packed: number[] = [];
  #head = 0;

  get length(): number {
    return this.#ids.length - this.#head;
  }

  push(outgoing: Outgoing): void {
    this.#ids.push(outgoing.id);
    this.#packetIds.push(outgoing.packetId);
    this.#packed.push(pack(outgoing));
    this.bytes += outgoing.size;
  }

  shift(): Outgoing | undefined {
    const at = this.#head;
    if (at >= this.#ids.length) return undefined;
    const outgoing = unpack(
      this.#ids[at] as number,
      this.#packetIds[at] as number,
      this.#packed[at] as number,
    );
    this.#head += 1;
    if (this.#head >= COMPACT_AT && this.#head * 2 >= this.#ids.length) this.#compact();
    this.bytes -= outgoing.size;
    return outgoing;
  }

  unshift(messages: readonly Outgoing[]): void {
    this.#compact();
    this.#ids = [...messages.map((one) => one.id), ...this.#ids];
    this.#packetIds = [...messages.map((one) => one.packetId), ...this.#packetIds];
    this.#packed = [...messages.map(pack), ...this.#packed];
    for (const one of messages) this.bytes += one.size;
  }

  #compact(): void {
    if (this.#head === 0) return;
    this.#ids = this.#ids.slice(this.#head);
    this.#packetIds = this.#packetIds.slice(this.#head);
    this.#packed = this.#packed.slice(this.#head);
    this.#head = 0;
  }
}

function pack({ size, duplicate, qos, retain }: Outgoing): number {
  return size * 16 + (duplicate ? 8 : 0) + qos * 2 + (retain ? 1 : 0);
}

function unpack(id: number, packetId: number, packed: number): Outgoing {
  return {
    id,
    message: undefined,
    size: Math.floor(packed / 16),
    qos: (packed >> 1) & 3,
    retain: (packed & 1) === 1,
    packetId,
    duplicate: (packed & 8) !== 0,
    released: false,
    subscriptionIds: undefined,
  };
}

/**
 * One client's session: its subscriptions, the queue of what waits for it, the window of what was sent and not yet
 * acknowledged, and the pump between them. A durable session is on disk and outlives its connection and the process;
 * any other lives in memory as long as its connection. Messages leave in the order of their acceptance
 * ([MQTT-4.6.0-6]); one is forgotten only when the client acknowledged it.
 */

import type { Message } from './message.ts';
import { MessageQueue, type Outgoing, type OutgoingQueue, StoredQueue } from './queues.ts';
import type { Subscription } from './router.ts';

/** The connection of a session as its sending side sees it. */
export interface Outlet {
  /** QoS 1 and 2 messages the client takes at a time. */
  readonly receiveMaximum: number;
  /** False while the client does not keep up reading. */
  readonly hasRoom: boolean;
  /** Writes a PUBLISH; tells when it was not sent for good. */
  publish(
    message: Message,
    outgoing: Outgoing,
    ids: readonly number[] | undefined,
  ): 'sent' | 'expired' | 'too-large';
  /** Writes a PUBLISH of QoS 0, or drops it when the client is too far behind. */
  publishLive(message: Message, retain: boolean, ids: readonly number[] | undefined): void;
  pubrel(packetId: number): void;
  /** The queue is full and the policy says that the client has to go. */
  overrun(): void;
}

/** What sessions use of the store that owns them. */
export interface SessionHost {
  readonly maxInflight: number;
  readonly maxQueuedMessages: number;
  readonly maxQueuedBytes: number;
  readonly whenFull: 'drop-oldest' | 'drop-newest' | 'disconnect';
  load(ids: readonly number[]): Map<number, Message>;
  /** Deletes a delivery soon, together with others. */
  forget(session: number, message: number): void;
  /** Notes on disk that PUBREC was seen. */
  release(session: number, message: number): Promise<unknown>;
  /** Subscription identifiers that apply to a message now. */
  identifiers(session: Session, topic: string): readonly number[] | undefined;
  count(reason: string): void;
  full(session: Session): void;
}

const BATCH = 32;
const LAST_PACKET_ID = 65_535;

export class Session {
  readonly clientId: string;
  /** Row in the database, 0 for a session in memory. */
  readonly key: number;
  readonly subscriptions = new Map<string, Subscription>();
  /** QoS 2 packet ids between PUBLISH and PUBREL ([MQTT-4.3.3-2]); the promise settles once the message is kept. */
  readonly received = new Map<number, Promise<unknown> | undefined>();
  /** Sent and not acknowledged, by packet id, in the order of sending. */
  readonly inflight = new Map<number, Outgoing>();
  readonly queue: OutgoingQueue;
  /** Accepted and on the way to disk. */
  readonly committing = { messages: 0, bytes: 0 };
  outlet: Outlet | undefined;
  /** Who it belongs to, for the access list. */
  user: string | undefined;
  /** Seconds it is kept after its connection; `undefined`: for ever. */
  expirySeconds: number | undefined;
  hasIdentifiers = false;
  ended = false;
  /** When the last warning about a full queue was logged. */
  warnedAt = Number.NEGATIVE_INFINITY;
  /** Row of the newest message sent, kept over disconnects to know what is a duplicate. */
  sentTo = 0;
  readonly #host: SessionHost;
  #packetId = 0;
  #pumping = false;

  constructor(clientId: string, key: number, host: SessionHost) {
    this.clientId = clientId;
    this.key = key;
    this.#host = host;
    this.queue = key === 0 ? new MessageQueue() : new StoredQueue();
  }

  get durable(): boolean {
    return this.key !== 0;
  }

  /** The next packet id; one that is in flight is passed over. */
  nextPacketId(): number {
    do this.#packetId = this.#packetId >= LAST_PACKET_ID ? 1 : this.#packetId + 1;
    while (this.inflight.has(this.#packetId));
    return this.#packetId;
  }

  /** After a restart the ids go on behind the newest one in the queue. */
  resumePacketIds(last: number): void {
    this.#packetId = last;
  }

  /** Makes room for `size` bytes more; false when the new message is the one that is dropped. */
  makeRoom(size: number, dropped: (outgoing: Outgoing) => void): boolean {
    const { maxQueuedMessages, maxQueuedBytes, whenFull } = this.#host;
    const { queue, committing } = this;
    const mayDrop = whenFull === 'drop-oldest' && size <= maxQueuedBytes;
    while (
      queue.length + committing.messages >= maxQueuedMessages ||
      queue.bytes + committing.bytes + size > maxQueuedBytes
    ) {
      const oldest = mayDrop ? queue.shift() : undefined;
      // Everything ahead is still being written: this one passes, the next finds something to drop.
      if (oldest === undefined && mayDrop && committing.messages > 0) return true;
      this.#host.count('queue-full');
      this.#host.full(this);
      if (oldest === undefined) {
        if (whenFull === 'disconnect') this.outlet?.overrun();
        return false;
      }
      dropped(oldest);
    }
    return true;
  }

  /** Hands over a message of QoS 1 or 2 that is not on disk. */
  deliver(
    message: Message,
    qos: number,
    retain: boolean,
    ids: readonly number[] | undefined,
    share?: Subscription,
  ): void {
    if (this.ended || !this.makeRoom(message.size, () => {})) return;
    this.queue.push({
      id: 0,
      message: this.#canSend() ? message : message.compact(),
      size: message.size,
      qos,
      retain,
      packetId: 0,
      duplicate: false,
      released: false,
      subscriptionIds: ids,
      share,
    });
    this.pump();
  }

  /** What share groups gave to this session and its client never acknowledged, once it has ended; QoS 2 only unsent. */
  leftovers(): Outgoing[] {
    const left: Outgoing[] = [];
    for (const outgoing of this.inflight.values()) {
      if (outgoing.share !== undefined && outgoing.qos === 1) left.push(outgoing);
    }
    for (let one = this.queue.shift(); one !== undefined; one = this.queue.shift()) {
      if (one.share !== undefined && !(one.duplicate && one.qos === 2)) left.push(one);
    }
    this.inflight.clear();
    return left;
  }

  /** A new connection has this session: what waits is sent. */
  resume(): void {
    const { outlet } = this;
    if (outlet === undefined) return;
    for (const [packetId, outgoing] of this.inflight) if (outgoing.released) outlet.pubrel(packetId);
    this.pump();
  }

  /** What was sent and not acknowledged waits again, in its order and under its packet ids ([MQTT-4.4.0-1]). */
  detach(outlet: Outlet): void {
    if (this.outlet !== outlet) return;
    this.outlet = undefined;
    const again: Outgoing[] = [];
    for (const [packetId, outgoing] of this.inflight) {
      if (outgoing.released) continue;
      outgoing.duplicate = true;
      again.push(outgoing);
      this.inflight.delete(packetId);
    }
    if (again.length > 0) this.queue.unshift(again);
  }

  /** PUBACK, PUBCOMP or a refusing PUBREC arrived; false for an id that is not in flight. */
  acknowledge(packetId: number): boolean {
    const outgoing = this.inflight.get(packetId);
    if (outgoing === undefined) return false;
    this.#done(outgoing);
    this.pump();
    return true;
  }

  /** PUBREC arrived: from here on only PUBREL may be sent again ([MQTT-4.3.3-1]); `undefined`: unknown id. */
  release(packetId: number): Promise<unknown> | undefined {
    const outgoing = this.inflight.get(packetId);
    if (outgoing === undefined || outgoing.qos !== 2) return undefined;
    const again = outgoing.released;
    outgoing.released = true;
    outgoing.message = undefined;
    return again || outgoing.id === 0 ? Promise.resolve() : this.#host.release(this.key, outgoing.id);
  }

  /** Sends what the window and the socket allow. */
  pump(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    while (this.#canSend() && this.queue.length > 0) {
      if (!this.#sendBatch()) break;
    }
    this.#pumping = false;
  }

  #canSend(): boolean {
    const { outlet } = this;
    return (
      outlet?.hasRoom === true && this.inflight.size < Math.min(this.#host.maxInflight, outlet.receiveMaximum)
    );
  }

  /** False when the first in line has to wait for its packet id. */
  #sendBatch(): boolean {
    const outlet = this.outlet as Outlet;
    const room = Math.min(this.#host.maxInflight, outlet.receiveMaximum) - this.inflight.size;
    const batch: Outgoing[] = [];
    const missing: number[] = [];
    while (batch.length < Math.min(room, BATCH)) {
      const outgoing = this.queue.shift();
      if (outgoing === undefined) break;
      if (this.inflight.has(outgoing.packetId)) {
        this.queue.unshift([outgoing]);
        break;
      }
      if (outgoing.message === undefined) missing.push(outgoing.id);
      batch.push(outgoing);
    }
    if (missing.length > 0) {
      const loaded = this.#host.load(missing);
      for (const outgoing of batch) outgoing.message ??= loaded.get(outgoing.id);
    }
    for (const outgoing of batch) this.#send(outlet, outgoing);
    return batch.length > 0;
  }

  #send(outlet: Outlet, outgoing: Outgoing): void {
    const { message } = outgoing;
    if (outgoing.packetId === 0) outgoing.packetId = this.nextPacketId();
    this.inflight.set(outgoing.packetId, outgoing);
    const ids =
      outgoing.subscriptionIds ??
      (this.hasIdentifiers && message !== undefined
        ? this.#host.identifiers(this, message.topic)
        : undefined);
    const result = message === undefined ? 'lost' : outlet.publish(message, outgoing, ids);
    if (result === 'sent') {
      if (outgoing.id > this.sentTo) this.sentTo = outgoing.id;
      // It is on disk: memory need not hold it until the client answers.
      if (outgoing.id !== 0) outgoing.message = undefined;
      return;
    }
    this.#host.count(result);
    this.#done(outgoing);
  }

  #done(outgoing: Outgoing): void {
    this.inflight.delete(outgoing.packetId);
    if (outgoing.id !== 0) this.#host.forget(this.key, outgoing.id);
  }
}

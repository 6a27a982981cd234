/**
 * The outgoing side of one persistent session: the queue of what waits, the window of what was sent and not yet
 * acknowledged, and the pump between them. Messages leave in the order of their acceptance ([MQTT-4.6.0-6]); a message
 * is forgotten only when the client acknowledged it. Payloads stay on disk; memory holds numbers.
 */

import type { SqlStep } from '../../runtime/contracts/database.ts';
import type { BrokerClient, StoredSubscription } from './packet.ts';
import { step } from './schema.ts';

/** A queued message as loaded for sending. */
export interface StoredMessage {
  readonly topic: string;
  readonly payload: Buffer;
  readonly properties: Readonly<Record<string, unknown>> | undefined;
  readonly expiresAt: number | undefined;
}

/** One message between this session and its client. */
export interface Outgoing {
  /** 0: sent without a queue row (a retained message handed over at subscribe). */
  readonly message: number;
  readonly size: number;
  readonly qos: number;
  readonly retain: boolean;
  /** QoS 2: PUBREC was seen, what is left is PUBREL and PUBCOMP. */
  released: boolean;
}

/** What a session uses of the store that owns it. */
export interface SessionHost {
  readonly maxInflight: number;
  load(ids: readonly number[]): Map<number, StoredMessage>;
  write(steps: readonly SqlStep[]): Promise<unknown>;
  /** Deletes a delivery row soon, together with others. */
  forget(session: number, message: number): void;
  count(reason: string): void;
  failed(error: unknown): void;
  now(): number;
}

/** Bytes handed to the client's socket and not yet taken by it. */
const MAX_UNFLUSHED = 1024 * 1024;
const BATCH = 32;
const COMPACT_AT = 1024;
const LAST_PACKET_ID = 65_535;

export class Session {
  readonly key: number;
  readonly clientId: string;
  readonly subscriptions = new Map<string, StoredSubscription>();
  /** Sent and not acknowledged, by packet id, in the order of sending. */
  readonly inflight = new Map<number, Outgoing>();
  /** When the last warning about a full queue was logged. */
  warnedAt = Number.NEGATIVE_INFINITY;
  /** Accepted for this session and not yet on disk. */
  readonly committing = { messages: 0, bytes: 0 };
  /** The last change of the subscriptions; settles when it is on disk. */
  stored: Promise<unknown> = Promise.resolve();
  client: BrokerClient | undefined;
  bytes = 0;

  readonly #host: SessionHost;
  #ids: number[] = [];
  /** size * 8 + qos * 2 + retain: two plain number arrays cost 16 bytes a message. */
  #packed: number[] = [];
  #head = 0;
  #packetId = 0;
  #unflushed = 0;
  #pumping = false;

  constructor(key: number, clientId: string, host: SessionHost) {
    this.key = key;
    this.clientId = clientId;
    this.#host = host;
  }

  /** Messages that wait to be sent. */
  get waiting(): number {
    return this.#ids.length - this.#head;
  }

  push(message: number, size: number, qos: number, retain: boolean): void {
    this.#ids.push(message);
    this.#packed.push(size * 8 + qos * 2 + (retain ? 1 : 0));
    this.bytes += size;
  }

  /** Takes the oldest waiting message out. */
  shift(): (Outgoing & { readonly message: number }) | undefined {
    const message = this.#ids[this.#head];
    const packed = this.#packed[this.#head];
    if (message === undefined || packed === undefined) return undefined;
    this.#head += 1;
    if (this.#head >= COMPACT_AT && this.#head * 2 >= this.#ids.length) {
      this.#ids = this.#ids.slice(this.#head);
      this.#packed = this.#packed.slice(this.#head);
      this.#head = 0;
    }
    const size = Math.floor(packed / 8);
    this.bytes -= size;
    return { message, size, qos: (packed >> 1) & 3, retain: (packed & 1) === 1, released: false };
  }

  /** Puts messages taken by `shift` back in front, oldest first. */
  unshift(messages: readonly Outgoing[]): void {
    this.#ids = [...messages.map((one) => one.message), ...this.#ids.slice(this.#head)];
    this.#packed = [
      ...messages.map((one) => one.size * 8 + one.qos * 2 + (one.retain ? 1 : 0)),
      ...this.#packed.slice(this.#head),
    ];
    this.#head = 0;
    for (const one of messages) this.bytes += one.size;
  }

  /** A packet id that is free in this session, marked as in flight. */
  reserve(outgoing: Outgoing): number {
    do this.#packetId = this.#packetId >= LAST_PACKET_ID ? 1 : this.#packetId + 1;
    while (this.inflight.has(this.#packetId));
    this.inflight.set(this.#packetId, outgoing);
    return this.#packetId;
  }

  attach(client: BrokerClient): void {
    this.client = client;
    this.#unflushed = 0;
    this.pump();
  }

  detach(client: BrokerClient): void {
    if (this.client === client) this.client = undefined;
  }

  /** PUBACK or PUBCOMP arrived. */
  acknowledge(packetId: number): void {
    const outgoing = this.inflight.get(packetId);
    if (outgoing === undefined) return;
    this.#done(packetId, outgoing);
    this.pump();
  }

  /** PUBREC arrived: from here on only PUBREL may be sent again ([MQTT-4.3.3-1]). */
  async release(packetId: number): Promise<void> {
    const outgoing = this.inflight.get(packetId);
    if (outgoing === undefined || outgoing.released) return;
    outgoing.released = true;
    if (outgoing.message === 0) return;
    const sql = 'UPDATE mqtt_delivery SET state = 2 WHERE session = ? AND message = ?';
    await this.#host.write([step(sql, this.key, outgoing.message)]);
  }

  /** Sends what the window and the socket allow. */
  pump(): void {
    if (this.#pumping || this.client === undefined) return;
    this.#pumping = true;
    const client = this.client;
    for (;;) {
      const batch = this.#take(client);
      if (batch.length === 0) break;
      const exact = batch.filter(([, outgoing]) => outgoing.qos === 2);
      if (exact.length > 0) {
        this.#sendExact(client, batch, exact);
        return;
      }
      this.#send(client, batch);
    }
    this.#pumping = false;
  }

  /** A QoS 2 packet id is on disk before its first use: after a crash the message goes out under the same id. */
  #sendExact(client: BrokerClient, batch: Batch, exact: Batch): void {
    const sql = 'UPDATE mqtt_delivery SET state = 1, packet_id = ? WHERE session = ? AND message = ?';
    const steps = exact.map(([packetId, outgoing]) => step(sql, packetId, this.key, outgoing.message));
    this.#host.write(steps).then(
      () => {
        this.#pumping = false;
        if (this.client === client) this.#send(client, batch);
        this.pump();
      },
      (error: unknown) => {
        this.#pumping = false;
        for (const [packetId] of batch) this.inflight.delete(packetId);
        this.unshift(batch.map(([, outgoing]) => outgoing));
        this.#host.failed(error);
      },
    );
  }

  #take(client: BrokerClient): [number, Outgoing][] {
    const window = Math.min(this.#host.maxInflight, client.receiveMaximum ?? this.#host.maxInflight);
    const batch: [number, Outgoing][] = [];
    let bytes = this.#unflushed;
    while (batch.length < BATCH && this.inflight.size < window && bytes < MAX_UNFLUSHED) {
      const outgoing = this.shift();
      if (outgoing === undefined) break;
      bytes += outgoing.size;
      batch.push([this.reserve(outgoing), outgoing]);
    }
    return batch;
  }

  #send(client: BrokerClient, batch: Batch): void {
    const messages = this.#host.load(batch.map(([, outgoing]) => outgoing.message));
    for (const [packetId, outgoing] of batch) {
      const message = messages.get(outgoing.message);
      const properties = message === undefined ? undefined : liveProperties(message, this.#host.now());
      if (message === undefined || properties === 'expired') {
        this.#host.count(message === undefined ? 'lost' : 'expired');
        this.#done(packetId, outgoing);
        continue;
      }
      this.#unflushed += outgoing.size;
      client.deliverQoS(
        {
          cmd: 'publish',
          topic: message.topic,
          payload: message.payload,
          qos: outgoing.qos,
          retain: outgoing.retain,
          messageId: packetId,
          brokerId: null,
          ...(properties === undefined ? {} : { properties }),
        },
        () => {
          if (this.client !== client) return;
          this.#unflushed -= outgoing.size;
          this.pump();
        },
      );
    }
  }

  #done(packetId: number, outgoing: Outgoing): void {
    this.inflight.delete(packetId);
    if (outgoing.message !== 0) this.#host.forget(this.key, outgoing.message);
  }
}

type Batch = readonly (readonly [packetId: number, outgoing: Outgoing])[];

/** Properties with the lifetime that is left ([MQTT-3.3.2-6]), or `expired` ([MQTT-3.3.2-5]). */
export function liveProperties(
  message: StoredMessage,
  now: number,
): Readonly<Record<string, unknown>> | undefined | 'expired' {
  if (message.expiresAt === undefined) return message.properties;
  if (message.expiresAt <= now) return 'expired';
  return { ...message.properties, messageExpiryInterval: Math.ceil((message.expiresAt - now) / 1000) };
}

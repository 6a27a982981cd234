/** A small MQTT client (3.1.1, or 5 when asked) that does exactly what it is told and knows at which byte each packet ended. */

import { connect, type Socket } from 'node:net';
import { type Place, type Places, placed } from './places.ts';

export interface RawPacket {
  /** Packet type, 2 CONNACK to 14. */
  readonly type: number;
  readonly flags: number;
  readonly body: Buffer;
  readonly place: Place;
}

export interface RawPublish {
  readonly topic: string;
  readonly payload: Buffer;
  readonly qos: number;
  readonly id: number;
}

export interface RawWill {
  readonly topic: string;
  readonly payload: string;
  /** Seconds; MQTT 5. */
  readonly delay?: number;
}

export interface ConnectOptions {
  readonly clientId: string;
  readonly clean: boolean;
  readonly will?: RawWill;
  readonly five?: boolean;
}

/** Long enough for any test. */
const SESSION_SECONDS = 86_400;

/** Connects and waits for CONNACK. */
export class RawMqtt {
  readonly #socket: Socket;
  readonly #position: (bytes: number) => Place;
  readonly #five: boolean;
  #buffer: Buffer = Buffer.alloc(0);
  #consumed = 0;
  #nextId = 1;
  readonly #answers = new Map<string, { resolve(packet: RawPacket): void; reject(error: Error): void }>();
  /** Messages for this client; it acknowledges them itself when this returns true. */
  onPublish: (message: RawPublish) => boolean = () => true;
  /** PUBREL for a message of QoS 2 came; PUBCOMP follows by itself. */
  onRelease: (id: number, place: Place) => void = () => undefined;
  /** Whether PUBREC is followed by PUBREL without being asked. */
  releases = true;
  ended = false;

  private constructor(socket: Socket, places: Places, five: boolean) {
    this.#socket = socket;
    this.#five = five;
    this.#position = placed(socket, places);
    socket.setNoDelay(true);
    socket.on('data', (chunk: Buffer) => {
      this.#buffer = this.#buffer.length === 0 ? chunk : Buffer.concat([this.#buffer, chunk]);
      while (this.#parse());
    });
    const end = (): void => {
      this.ended = true;
      for (const { reject } of this.#answers.values()) reject(new Error('the connection is gone'));
      this.#answers.clear();
    };
    socket.on('error', end);
    socket.on('close', end);
  }

  static async open(
    port: number,
    places: Places,
    options: ConnectOptions,
    onPublish?: (message: RawPublish) => boolean,
  ): Promise<{ client: RawMqtt; connack: RawPacket }> {
    const socket = connect(port, '127.0.0.1');
    await new Promise<void>((resolve, reject) => {
      socket.once('error', reject);
      socket.once('connect', () => resolve());
    });
    const { will, clean, five = false } = options;
    const client = new RawMqtt(socket, places, five);
    if (onPublish !== undefined) client.onPublish = onPublish;
    const flags = (clean ? 2 : 0) | (will === undefined ? 0 : 4 | (1 << 3));
    const session = five ? [Buffer.from([5, 17]), uint32(clean ? 0 : SESSION_SECONDS)] : [];
    const parts = [
      text('MQTT'),
      Buffer.from([five ? 5 : 4, flags, 0, 0]),
      ...session,
      text(options.clientId),
    ];
    if (will !== undefined) {
      if (five) parts.push(Buffer.from([5, 24]), uint32(will.delay ?? 0));
      parts.push(text(will.topic), text(will.payload));
    }
    const connack = await client.#ask(2, 0, packet(1, 0, parts));
    if (connack.body[1] !== 0) throw new Error(`CONNACK ${connack.body[1]}`);
    return { client, connack };
  }

  /** QoS 1: resolves with the PUBACK; QoS 2: with the PUBREC, after which the exchange is finished by itself. */
  publish(
    topic: string,
    payload: string | Buffer,
    qos: 0 | 1 | 2,
    retain = false,
    expirySeconds?: number,
  ): Promise<RawPacket | undefined> {
    const data = typeof payload === 'string' ? Buffer.from(payload) : payload;
    const id = qos === 0 ? 0 : this.takeId();
    const flags = (qos << 1) | (retain ? 1 : 0);
    const expiry = expirySeconds === undefined ? [] : [Buffer.from([2]), uint32(expirySeconds)];
    const properties = this.#five ? [Buffer.from([expiry.length === 0 ? 0 : 5]), ...expiry] : [];
    const bytes = packet(3, flags, [text(topic), ...(qos === 0 ? [] : [uint16(id)]), ...properties, data]);
    if (qos !== 0) return this.#ask(qos === 1 ? 4 : 5, id, bytes);
    this.#socket.write(bytes);
    return Promise.resolve(undefined);
  }

  /** QoS 2 under an id of the caller's, for the first time or again; resolves with the PUBREC. */
  publishAs(id: number, topic: string, payload: string, again: boolean): Promise<RawPacket> {
    const flags = 4 | (again ? 8 : 0);
    return this.#ask(5, id, packet(3, flags, [text(topic), uint16(id), Buffer.from(payload)]));
  }

  /** PUBREL; resolves with the PUBCOMP. */
  release(id: number): Promise<RawPacket> {
    return this.#ask(7, id, packet(6, 2, [uint16(id)]));
  }

  subscribe(filters: readonly string[], qos: number): Promise<RawPacket> {
    const id = this.takeId();
    const list = filters.flatMap((filter) => [text(filter), Buffer.from([qos])]);
    return this.#ask(9, id, packet(8, 2, [uint16(id), ...this.#noProperties(), ...list]));
  }

  unsubscribe(filter: string): Promise<RawPacket> {
    const id = this.takeId();
    return this.#ask(11, id, packet(10, 2, [uint16(id), ...this.#noProperties(), text(filter)]));
  }

  /** DISCONNECT, then the end of the connection. */
  async disconnect(): Promise<void> {
    this.#socket.end(packet(14, 0, []));
    if (!this.ended) await new Promise<void>((resolve) => this.#socket.once('close', () => resolve()));
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #noProperties(): readonly Buffer[] {
    return this.#five ? [Buffer.from([0])] : [];
  }

  takeId(): number {
    this.#nextId = (this.#nextId % 60_000) + 1;
    return this.#nextId;
  }

  #ask(type: number, id: number, bytes: Buffer): Promise<RawPacket> {
    return new Promise((resolve, reject) => {
      if (this.ended) return reject(new Error('the connection is gone'));
      this.#answers.set(`${type}:${id}`, { resolve, reject });
      this.#socket.write(bytes);
    });
  }

  #parse(): boolean {
    const bytes = this.#buffer;
    let length = 0;
    let at = 1;
    for (let shift = 0; ; shift += 7, at += 1) {
      if (at >= bytes.length) return false;
      const byte = bytes[at] as number;
      length |= (byte & 127) << shift;
      if ((byte & 128) === 0) break;
    }
    const start = at + 1;
    if (bytes.length < start + length) return false;
    this.#consumed += start + length;
    const first = bytes[0] as number;
    this.#buffer = bytes.subarray(start + length);
    this.#take({
      type: first >> 4,
      flags: first & 15,
      body: bytes.subarray(start, start + length),
      place: this.#position(this.#consumed),
    });
    return true;
  }

  #take(received: RawPacket): void {
    const { type, body, flags } = received;
    if (type === 3) {
      this.#takePublish(body, (flags >> 1) & 3);
      return;
    }
    if (type === 14) return;
    const id = type === 2 ? 0 : body.readUInt16BE(0);
    if (type === 5 && this.releases) this.#socket.write(packet(6, 2, [uint16(id)]));
    if (type === 6) {
      this.onRelease(id, received.place);
      this.#socket.write(packet(7, 0, [uint16(id)]));
    }
    const answer = this.#answers.get(`${type}:${id}`);
    this.#answers.delete(`${type}:${id}`);
    answer?.resolve(received);
  }

  #takePublish(body: Buffer, qos: number): void {
    const topicEnd = 2 + body.readUInt16BE(0);
    const id = qos === 0 ? 0 : body.readUInt16BE(topicEnd);
    let at = topicEnd + (qos === 0 ? 0 : 2);
    // No list of properties that a test sends is longer than 127 bytes.
    if (this.#five) at += 1 + (body[at] as number);
    const payload = body.subarray(at);
    const answer = this.onPublish({ topic: body.toString('utf8', 2, topicEnd), payload, qos, id });
    if (answer && qos > 0) this.#socket.write(packet(qos === 1 ? 4 : 5, 0, [uint16(id)]));
  }
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([uint16(bytes.length), bytes]);
}

function uint16(value: number): Buffer {
  return Buffer.from([value >> 8, value & 255]);
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

function packet(type: number, flags: number, parts: readonly Buffer[]): Buffer {
  const body = Buffer.concat(parts);
  const head = [(type << 4) | flags];
  let left = body.length;
  do {
    head.push((left & 127) | (left > 127 ? 128 : 0));
    left >>= 7;
  } while (left > 0);
  return Buffer.concat([Buffer.from(head), body]);
}

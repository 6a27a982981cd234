/**
 * A published message inside the broker, decoded once and shared by everybody who gets it. Topic, properties and
 * payload stay bytes of the packet they came in.
 */

import { isUtf8 } from 'node:buffer';
import { malformed, ProtocolFault, protocolError, REASON } from './wire/fault.ts';
import { ALLOWED, eachProperty, PROPERTY, Reader, varintSize, writeVarint } from './wire/properties.ts';

const NONE: Buffer = Buffer.alloc(0);
/** Levels of a topic; matching visits them one by one. */
export const MAX_LEVELS = 128;

export class Message {
  readonly topic: string;
  readonly topicBytes: Buffer;
  readonly payload: Buffer;
  /** MQTT 5 properties that travel with the message, as bytes; without expiry and alias. */
  readonly properties: Buffer;
  readonly qos: number;
  readonly retain: boolean;
  /** Moment of the broker's elapsed time after which it is not delivered any more. */
  readonly expiresAt: number | undefined;
  /** Row in the database, 0 while it has none. */
  id = 0;
  #plain: Buffer | undefined;
  #plainRetained: Buffer | undefined;
  #five: Buffer | undefined;
  #fiveRetained: Buffer | undefined;

  constructor(
    topic: string,
    topicBytes: Buffer,
    payload: Buffer,
    properties: Buffer,
    qos: number,
    retain: boolean,
    expiresAt: number | undefined,
  ) {
    this.topic = topic;
    this.topicBytes = topicBytes;
    this.payload = payload;
    this.properties = properties;
    this.qos = qos;
    this.retain = retain;
    this.expiresAt = expiresAt;
  }

  /** What it counts for in queues. */
  get size(): number {
    return this.topicBytes.length + this.payload.length + this.properties.length;
  }

  /** The packet for every subscriber of QoS 0 without wishes of its own, made once. */
  plain(five: boolean, retain: boolean): Buffer {
    if (five) {
      if (retain) {
        this.#fiveRetained ??= encodePublish(this, FIVE_RETAINED);
        return this.#fiveRetained;
      }
      this.#five ??= encodePublish(this, FIVE);
      return this.#five;
    }
    if (retain) {
      this.#plainRetained ??= encodePublish(this, PLAIN_RETAINED);
      return this.#plainRetained;
    }
    this.#plain ??= encodePublish(this, PLAIN);
    return this.#plain;
  }

  /** The same without a hold on the chunk it came in, for keeping. */
  compact(): Message {
    const total = this.size;
    if (this.payload.buffer.byteLength <= total * 4 + 256) return this;
    const bytes = Buffer.allocUnsafeSlow(total);
    const propertiesAt = this.topicBytes.copy(bytes, 0);
    const payloadAt = propertiesAt + this.properties.copy(bytes, propertiesAt);
    this.payload.copy(bytes, payloadAt);
    const copy = new Message(
      this.topic,
      bytes.subarray(0, propertiesAt),
      bytes.subarray(payloadAt),
      bytes.subarray(propertiesAt, payloadAt),
      this.qos,
      this.retain,
      this.expiresAt,
    );
    copy.id = this.id;
    return copy;
  }
}

/** A message of the broker itself or from its database. */
export function messageOf(
  topic: string,
  payload: Buffer,
  qos: number,
  retain: boolean,
  properties: Buffer = NONE,
  expiresAt?: number,
): Message {
  return new Message(topic, Buffer.from(topic), payload, properties, qos, retain, expiresAt);
}

/** What a PUBLISH says beyond the message. */
export interface Publish {
  readonly message: Message;
  readonly packetId: number;
}

/** Topic aliases a client has set on this connection. */
export interface AliasTable {
  readonly maximum: number;
  readonly topics: Map<number, Buffer>;
}

/** Decodes the PUBLISH with first byte `header` ([MQTT-3.3]); `now` is the broker's elapsed time. */
export function readPublish(
  header: number,
  buffer: Buffer,
  start: number,
  end: number,
  five: boolean,
  aliases: AliasTable,
  now: number,
): Publish {
  const qos = qosOf(header);
  const topicEnd = start + 2 + (((buffer[start] as number) << 8) | (buffer[start + 1] as number));
  let at = topicEnd + (qos > 0 ? 2 : 0);
  if (!(at <= end)) throw malformed('PUBLISH ends too early');
  const packetId = qos > 0 ? ((buffer[topicEnd] as number) << 8) | (buffer[topicEnd + 1] as number) : 0;
  if (qos > 0 && packetId === 0) throw protocolError('packet identifier 0');
  let topicBytes: Buffer = buffer.subarray(start + 2, topicEnd);
  let properties = NONE;
  let expiresAt: number | undefined;
  if (five && buffer[at] === 0 && at < end) at += 1;
  else if (five) {
    const found = readProperties(new Reader(buffer, at, end));
    at = found.end;
    properties = found.forward;
    if (found.expiry !== undefined) expiresAt = now + found.expiry * 1000;
    if (found.alias !== undefined) topicBytes = resolveAlias(found.alias, topicBytes, aliases);
  }
  const topic = topicBytes.toString();
  checkTopic(topic, topicBytes);
  const retain = (header & 1) !== 0;
  const payload = buffer.subarray(at, end);
  return {
    message: new Message(topic, topicBytes, payload, properties, qos, retain, expiresAt),
    packetId,
  };
}

function qosOf(header: number): number {
  const qos = (header >> 1) & 3;
  if (qos === 3) throw malformed('QoS 3');
  if (qos === 0 && (header & 8) !== 0) throw malformed('a duplicate of QoS 0');
  return qos;
}

interface PublishProperties {
  end: number;
  forward: Buffer;
  alias: number | undefined;
  expiry: number | undefined;
}

/** Checks the properties and takes out what concerns this hop only. `willDelay` is taken out of a will's. */
export function readProperties(
  reader: Reader,
  allowed: ReadonlySet<number> = ALLOWED.publish,
): PublishProperties & { willDelay: number } {
  const found = {
    end: 0,
    forward: NONE,
    alias: undefined as number | undefined,
    expiry: undefined as number | undefined,
    willDelay: 0,
  };
  const keep: [number, number][] = [];
  eachProperty(reader, allowed, (id, value, from, to) => {
    if (id === PROPERTY.topicAlias) found.alias = value as number;
    else if (id === PROPERTY.messageExpiry) found.expiry = value as number;
    else if (id === PROPERTY.willDelay) found.willDelay = value as number;
    else {
      if (id === PROPERTY.responseTopic) checkResponseTopic(value as string);
      const last = keep.at(-1);
      if (last !== undefined && last[1] === from) last[1] = to;
      else keep.push([from, to]);
    }
  });
  const [first] = keep;
  if (keep.length === 1 && first !== undefined) found.forward = reader.buffer.subarray(first[0], first[1]);
  else if (keep.length > 1) {
    found.forward = Buffer.concat(keep.map(([from, to]) => reader.buffer.subarray(from, to)));
  }
  found.end = reader.at;
  return found;
}

/** [MQTT-3.3.2-14] */
function checkResponseTopic(topic: string): void {
  if (/[#+]/.test(topic)) throw protocolError('the response topic has a wildcard');
}

function resolveAlias(alias: number, topic: Buffer, { maximum, topics }: AliasTable): Buffer {
  if (alias === 0 || alias > maximum) {
    throw new ProtocolFault(
      REASON.topicAliasInvalid,
      `topic alias ${alias}: 1 to ${maximum} are allowed ([MQTT-3.3.2-8])`,
    );
  }
  if (topic.length > 0) {
    topics.set(alias, Buffer.from(topic));
    return topic;
  }
  const known = topics.get(alias);
  if (known === undefined) {
    throw new ProtocolFault(REASON.topicAliasInvalid, `topic alias ${alias} was not set`);
  }
  return known;
}

/** A topic name that may be published to ([MQTT-3.3.2-2], [MQTT-4.7.3-1], [MQTT-4.7.3-2]). */
export function checkTopic(topic: string, bytes: Buffer): void {
  if (topic.length === 0) throw protocolError('PUBLISH without a topic ([MQTT-4.7.3-1])');
  let levels = 1;
  for (let index = 0; index < topic.length; index += 1) {
    const code = topic.charCodeAt(index);
    if (code === 0x2f) levels += 1;
    else if (code === 0x23 || code === 0x2b) {
      throw new ProtocolFault(REASON.topicNameInvalid, 'the topic of a PUBLISH has a wildcard');
    } else if (code === 0) throw malformed('the topic has a null character');
    else if (code === 0xfffd && !isUtf8(bytes)) throw malformed('the topic is not UTF-8');
  }
  if (levels > MAX_LEVELS) {
    throw new ProtocolFault(REASON.topicNameInvalid, `the topic has more than ${MAX_LEVELS} levels`);
  }
}

/** How one copy of a message is written. */
export interface PublishForm {
  readonly five: boolean;
  readonly qos: number;
  readonly retain: boolean;
  readonly duplicate: boolean;
  readonly packetId: number;
  readonly subscriptionIds: readonly number[] | undefined;
  /** Alias of the topic on that connection, 0 for none. */
  readonly alias: number;
  /** The alias is known there, so the topic is left out. */
  readonly aliasKnown: boolean;
  /** Seconds left to live. */
  readonly expiry: number | undefined;
}

const PLAIN: PublishForm = {
  five: false,
  qos: 0,
  retain: false,
  duplicate: false,
  packetId: 0,
  subscriptionIds: undefined,
  alias: 0,
  aliasKnown: false,
  expiry: undefined,
};
const PLAIN_RETAINED: PublishForm = { ...PLAIN, retain: true };
const FIVE: PublishForm = { ...PLAIN, five: true };
const FIVE_RETAINED: PublishForm = { ...FIVE, retain: true };

/** Size of the MQTT 5 properties of one copy. */
function propertiesSize(message: Message, form: PublishForm): number {
  let size = message.properties.length;
  if (form.alias !== 0) size += 3;
  if (form.expiry !== undefined) size += 5;
  if (form.subscriptionIds !== undefined) for (const id of form.subscriptionIds) size += 1 + varintSize(id);
  return size;
}

/** The bytes of one PUBLISH. */
export function encodePublish(message: Message, form: PublishForm): Buffer {
  const { topicBytes, payload } = message;
  const topicLength = form.aliasKnown ? 0 : topicBytes.length;
  const propsSize = form.five ? propertiesSize(message, form) : 0;
  const length =
    2 +
    topicLength +
    (form.qos > 0 ? 2 : 0) +
    (form.five ? varintSize(propsSize) + propsSize : 0) +
    payload.length;
  const bytes = Buffer.allocUnsafe(1 + varintSize(length) + length);
  bytes[0] = 0x30 | (form.duplicate ? 8 : 0) | (form.qos << 1) | (form.retain ? 1 : 0);
  let at = writeVarint(bytes, 1, length);
  bytes[at++] = topicLength >> 8;
  bytes[at++] = topicLength & 255;
  if (topicLength > 0) at += topicBytes.copy(bytes, at);
  if (form.qos > 0) {
    bytes[at++] = form.packetId >> 8;
    bytes[at++] = form.packetId & 255;
  }
  if (form.five) at = writeProperties(bytes, at, message, form, propsSize);
  payload.copy(bytes, at);
  return bytes;
}

function writeProperties(
  bytes: Buffer,
  from: number,
  message: Message,
  form: PublishForm,
  size: number,
): number {
  let at = writeVarint(bytes, from, size);
  if (size === 0) return at;
  at += message.properties.copy(bytes, at);
  if (form.expiry !== undefined) {
    bytes[at++] = PROPERTY.messageExpiry;
    at = bytes.writeUInt32BE(form.expiry, at);
  }
  if (form.subscriptionIds !== undefined) {
    for (const id of form.subscriptionIds) {
      bytes[at++] = PROPERTY.subscriptionId;
      at = writeVarint(bytes, at, id);
    }
  }
  if (form.alias !== 0) {
    bytes[at++] = PROPERTY.topicAlias;
    bytes[at++] = form.alias >> 8;
    bytes[at++] = form.alias & 255;
  }
  return at;
}

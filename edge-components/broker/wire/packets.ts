/** Control packets other than PUBLISH and CONNECT: what clients send decoded, what the broker sends encoded. */

import { malformed, protocolError } from './fault.ts';
import {
  ALLOWED,
  encodeProperties,
  PROPERTY,
  type PropertyValue,
  properties,
  Reader,
  varintSize,
  writeVarint,
} from './properties.ts';

/** Packet types: the high half of the first byte. */
export const TYPE = {
  connect: 1,
  connack: 2,
  publish: 3,
  puback: 4,
  pubrec: 5,
  pubrel: 6,
  pubcomp: 7,
  subscribe: 8,
  suback: 9,
  unsubscribe: 10,
  unsuback: 11,
  pingreq: 12,
  pingresp: 13,
  disconnect: 14,
  auth: 15,
} as const;

/** The low half of the first byte that each type must have (MQTT 5, section 2.1.3); PUBLISH has its own. */
const FLAGS: readonly number[] = [0, 0, 0, 0, 0, 0, 2, 0, 2, 0, 2, 0, 0, 0, 0, 0];

/** Refuses reserved bits that are set ([MQTT-2.1.3-1]). */
export function checkFlags(header: number): void {
  if ((header & 15) !== FLAGS[header >> 4]) throw malformed('reserved bits of the first byte are wrong');
}

type Entries = readonly (readonly [id: number, value: PropertyValue])[];

/** One packet from its first byte, the variable part and MQTT 5 properties (placed between `head` and `tail`). */
export function packet(
  header: number,
  head: readonly number[],
  entries?: Entries,
  tail: readonly number[] = [],
): Buffer {
  const props = entries === undefined ? undefined : encodeProperties(entries);
  const propsSize = props === undefined ? 0 : varintSize(props.length) + props.length;
  const length = head.length + propsSize + tail.length;
  const bytes = Buffer.allocUnsafe(1 + varintSize(length) + length);
  bytes[0] = header;
  let at = writeVarint(bytes, 1, length);
  for (const byte of head) bytes[at++] = byte;
  if (props !== undefined) {
    at = writeVarint(bytes, at, props.length);
    at += props.copy(bytes, at);
  }
  for (const byte of tail) bytes[at++] = byte;
  return bytes;
}

/** PUBACK, PUBREC, PUBREL or PUBCOMP; a reason of 0 is left out (MQTT 5, section 3.4.2.1). */
export function acknowledgement(header: number, packetId: number, reason = 0, text?: string): Buffer {
  if (reason !== 0) {
    const entries: Entries | undefined = text === undefined ? undefined : [[PROPERTY.reasonString, text]];
    return packet(header, [packetId >> 8, packetId & 255, reason], entries);
  }
  const bytes = Buffer.allocUnsafe(4);
  bytes[0] = header;
  bytes[1] = 2;
  bytes[2] = packetId >> 8;
  bytes[3] = packetId & 255;
  return bytes;
}

export const PINGRESP = Buffer.from([0xd0, 0]);

/** DISCONNECT of an MQTT 5 server. */
export function disconnectPacket(reason: number, text?: string): Buffer {
  return packet(0xe0, [reason], text === undefined ? undefined : [[PROPERTY.reasonString, text]]);
}

/** SUBACK or UNSUBACK. */
export function subscriptionAnswer(
  header: number,
  packetId: number,
  five: boolean,
  codes: readonly number[],
): Buffer {
  return packet(header, [packetId >> 8, packetId & 255], five ? [] : undefined, codes);
}

/** What PUBACK, PUBREC, PUBREL and PUBCOMP say. */
export interface Acknowledgement {
  readonly packetId: number;
  readonly reason: number;
}

export function readAcknowledgement(
  buffer: Buffer,
  start: number,
  end: number,
  five: boolean,
): Acknowledgement {
  const length = end - start;
  if (length < 2 || (!five && length > 2)) throw malformed('an acknowledgement has the wrong length');
  const packetId = ((buffer[start] as number) << 8) | (buffer[start + 1] as number);
  if (packetId === 0) throw malformed('packet identifier 0');
  if (length === 2) return { packetId, reason: 0 };
  const reader = new Reader(buffer, start + 2, end);
  const reason = reader.byte();
  if (reader.left > 0) properties(reader, ALLOWED.acknowledge);
  if (reader.left > 0) throw malformed('bytes follow the properties');
  return { packetId, reason };
}

/** One filter of a SUBSCRIBE with its options. */
export interface RequestedSubscription {
  readonly filter: string;
  readonly qos: number;
  readonly noLocal: boolean;
  readonly retainAsPublished: boolean;
  readonly retainHandling: number;
}

export interface SubscribeRequest {
  readonly packetId: number;
  readonly identifier: number | undefined;
  readonly subscriptions: readonly RequestedSubscription[];
}

export function readSubscribe(buffer: Buffer, start: number, end: number, five: boolean): SubscribeRequest {
  const reader = new Reader(buffer, start, end);
  const packetId = packetIdOf(reader);
  const found = five ? properties(reader, ALLOWED.subscribe) : undefined;
  const identifier = found?.get(PROPERTY.subscriptionId) as number | undefined;
  if (identifier === 0) throw protocolError('subscription identifier 0');
  const subscriptions: RequestedSubscription[] = [];
  while (reader.left > 0) subscriptions.push(readSubscription(reader, five));
  if (subscriptions.length === 0) throw protocolError('SUBSCRIBE without a topic filter');
  return { packetId, identifier, subscriptions };
}

function readSubscription(reader: Reader, five: boolean): RequestedSubscription {
  const filter = reader.text();
  const options = reader.byte();
  const qos = options & 3;
  const retainHandling = (options >> 4) & 3;
  if (qos === 3 || (options & (five ? 0xc0 : 0xfc)) !== 0) throw malformed('reserved subscription options');
  if (retainHandling === 3) throw protocolError('retain handling 3');
  const noLocal = (options & 4) !== 0;
  // [MQTT-3.8.3-4]
  if (noLocal && filter.startsWith('$share/')) throw protocolError('no local on a shared subscription');
  return { filter, qos, noLocal, retainAsPublished: (options & 8) !== 0, retainHandling };
}

export function readUnsubscribe(
  buffer: Buffer,
  start: number,
  end: number,
  five: boolean,
): { readonly packetId: number; readonly filters: readonly string[] } {
  const reader = new Reader(buffer, start, end);
  const packetId = packetIdOf(reader);
  if (five) properties(reader, ALLOWED.unsubscribe);
  const filters: string[] = [];
  while (reader.left > 0) filters.push(reader.text());
  if (filters.length === 0) throw protocolError('UNSUBSCRIBE without a topic filter');
  return { packetId, filters };
}

function packetIdOf(reader: Reader): number {
  const packetId = reader.two();
  if (packetId === 0) throw protocolError('packet identifier 0');
  return packetId;
}

/** DISCONNECT of a client; MQTT 3 has no body. */
export function readDisconnect(
  buffer: Buffer,
  start: number,
  end: number,
  five: boolean,
): { readonly reason: number; readonly sessionExpiry: number | undefined } {
  const reader = new Reader(buffer, start, end);
  if (!five && reader.left > 0) throw malformed('DISCONNECT has a body');
  const reason = reader.left > 0 ? reader.byte() : 0;
  const found = reader.left > 0 ? properties(reader, ALLOWED.disconnect) : undefined;
  if (reader.left > 0) throw malformed('bytes follow the properties');
  return { reason, sessionExpiry: found?.get(PROPERTY.sessionExpiry) as number | undefined };
}

/** AUTH (MQTT 5, section 3.15). */
export function readAuth(
  buffer: Buffer,
  start: number,
  end: number,
): { readonly reason: number; readonly method: string | undefined; readonly data: Buffer | undefined } {
  const reader = new Reader(buffer, start, end);
  const reason = reader.left > 0 ? reader.byte() : 0;
  const found = reader.left > 0 ? properties(reader, ALLOWED.auth) : undefined;
  return {
    reason,
    method: found?.get(PROPERTY.authMethod) as string | undefined,
    data: found?.get(PROPERTY.authData) as Buffer | undefined,
  };
}

/** CONNECT, read strictly (MQTT 3.1, 3.1.1 and 5, section 3.1), and CONNACK. */

import { readProperties } from '../message.ts';
import { malformed, ProtocolFault, protocolError } from './fault.ts';
import { ALLOWED, PROPERTY, type PropertyValue, properties, Reader } from './properties.ts';

/** The will of a CONNECT. */
export interface WillRequest {
  readonly topic: string;
  readonly payload: Buffer;
  readonly qos: number;
  readonly retain: boolean;
  readonly properties: Buffer;
  /** Seconds. */
  readonly expiry: number | undefined;
  readonly delay: number;
}

export interface ConnectRequest {
  readonly version: 3 | 4 | 5;
  readonly clientId: string;
  readonly clean: boolean;
  readonly keepAlive: number;
  /** Where the two bytes of the keep alive lie, counted from the start of the body. */
  readonly keepAliveAt: number;
  readonly username: string | undefined;
  readonly will: WillRequest | undefined;
  readonly sessionExpiry: number;
  readonly receiveMaximum: number;
  readonly maximumPacketSize: number;
  readonly topicAliasMaximum: number;
  readonly requestProblem: boolean;
  readonly authMethod: string | undefined;
  readonly authData: Buffer | undefined;
  /** From and to of the MQTT 5 properties with their length, counted from the start of the body. */
  readonly propertiesAt: readonly [number, number];
}

const NAMES: Readonly<Record<string, readonly number[]>> = { MQTT: [4, 5], MQIsdp: [3] };
const NEVER = 0xffffffff;

/** The protocol level of a CONNECT that may not be readable otherwise, to answer it in its version. */
export function versionOf(buffer: Buffer, start: number, end: number): number | undefined {
  try {
    const reader = new Reader(buffer, start, end);
    const name = reader.text();
    const version = reader.byte();
    return NAMES[name] === undefined ? undefined : version;
  } catch {
    return undefined;
  }
}

export function readConnect(buffer: Buffer, start: number, end: number): ConnectRequest {
  const reader = new Reader(buffer, start, end);
  const name = reader.text();
  const version = reader.byte();
  const known = NAMES[name];
  if (known === undefined) throw malformed('unknown protocol name'); // [MQTT-3.1.2-1]
  if (!known.includes(version)) throw new ProtocolFault(0x84, `protocol level ${version} is not supported`);
  const five = version === 5;
  const flags = reader.byte();
  if ((flags & 1) !== 0) throw malformed('the reserved flag of CONNECT is set'); // [MQTT-3.1.2-3]
  const keepAliveAt = reader.at - start;
  const keepAlive = reader.two();
  const propertiesFrom = reader.at - start;
  const found = five ? properties(reader, ALLOWED.connect) : new Map<number, PropertyValue>();
  const propertiesTo = reader.at - start;
  const number = (id: number, fallback: number): number => (found.get(id) as number | undefined) ?? fallback;
  checkProperties(found);
  const clientId = reader.text();
  const will = readWill(reader, flags, five);
  // [MQTT-3.1.2-22] of 3.1.1: a password needs a user name; MQTT 5 lifts that.
  if (!five && (flags & 0xc0) === 0x40) throw malformed('a password without a user name');
  const username = (flags & 0x80) !== 0 ? reader.text() : undefined;
  if ((flags & 0x40) !== 0) reader.binary();
  if (reader.left > 0) throw malformed('bytes follow the payload of CONNECT');
  const clean = (flags & 2) !== 0;
  return {
    version: version as 3 | 4 | 5,
    clientId,
    clean,
    keepAlive,
    keepAliveAt,
    username,
    will,
    sessionExpiry: five ? number(PROPERTY.sessionExpiry, 0) : clean ? 0 : NEVER,
    receiveMaximum: number(PROPERTY.receiveMaximum, 65_535),
    maximumPacketSize: number(PROPERTY.maximumPacketSize, Number.POSITIVE_INFINITY),
    topicAliasMaximum: number(PROPERTY.topicAliasMaximum, 0),
    requestProblem: number(PROPERTY.requestProblem, 1) === 1,
    authMethod: found.get(PROPERTY.authMethod) as string | undefined,
    authData: found.get(PROPERTY.authData) as Buffer | undefined,
    propertiesAt: [propertiesFrom, propertiesTo],
  };
}

/** (MQTT 5, sections 3.1.2.11.3, 3.1.2.11.4 and 3.1.2.11.10) */
function checkProperties(found: ReadonlyMap<number, PropertyValue>): void {
  if (found.get(PROPERTY.receiveMaximum) === 0) throw protocolError('receive maximum 0');
  if (found.get(PROPERTY.maximumPacketSize) === 0) throw protocolError('maximum packet size 0');
  if (found.has(PROPERTY.authData) && !found.has(PROPERTY.authMethod)) {
    throw protocolError('authentication data without a method');
  }
}

function readWill(reader: Reader, flags: number, five: boolean): WillRequest | undefined {
  const qos = (flags >> 3) & 3;
  const retain = (flags & 0x20) !== 0;
  if ((flags & 4) === 0) {
    if (qos !== 0 || retain) throw malformed('will flags without a will'); // [MQTT-3.1.2-11]
    return undefined;
  }
  if (qos === 3) throw malformed('a will of QoS 3'); // [MQTT-3.1.2-12]
  const found = five ? readProperties(reader, ALLOWED.will) : undefined;
  const topic = reader.text();
  const payload = reader.binary();
  if (topic === '' || /[#+]/.test(topic)) throw protocolError('the topic of the will is not a topic name');
  return {
    topic,
    payload: Buffer.from(payload),
    qos,
    retain,
    properties: Buffer.from(found?.forward ?? []),
    expiry: found?.expiry,
    delay: found?.willDelay ?? 0,
  };
}

/**
 * MQTT 5 properties (section 2.2.2). Control packets get them decoded; those of a PUBLISH are checked and kept as bytes,
 * which keeps the order of user properties ([MQTT-3.3.2-18]) and costs nothing to forward.
 */

import { isUtf8 } from 'node:buffer';
import { malformed, protocolError } from './fault.ts';

type Kind = 'byte' | 'two' | 'four' | 'varint' | 'binary' | 'text' | 'pair';

/** Property identifiers. */
export const PROPERTY = {
  payloadFormat: 1,
  messageExpiry: 2,
  contentType: 3,
  responseTopic: 8,
  correlationData: 9,
  subscriptionId: 11,
  sessionExpiry: 17,
  assignedClientId: 18,
  serverKeepAlive: 19,
  authMethod: 21,
  authData: 22,
  requestProblem: 23,
  willDelay: 24,
  requestResponse: 25,
  responseInformation: 26,
  serverReference: 28,
  reasonString: 31,
  receiveMaximum: 33,
  topicAliasMaximum: 34,
  topicAlias: 35,
  user: 38,
  maximumPacketSize: 39,
  wildcardAvailable: 40,
  subscriptionIdsAvailable: 41,
  sharedAvailable: 42,
} as const;

const KINDS: readonly (Kind | undefined)[] = Object.assign(new Array<Kind | undefined>(43).fill(undefined), {
  1: 'byte',
  2: 'four',
  3: 'text',
  8: 'text',
  9: 'binary',
  11: 'varint',
  17: 'four',
  18: 'text',
  19: 'two',
  21: 'text',
  22: 'binary',
  23: 'byte',
  24: 'four',
  25: 'byte',
  26: 'text',
  28: 'text',
  31: 'text',
  33: 'two',
  34: 'two',
  35: 'two',
  36: 'byte',
  37: 'byte',
  38: 'pair',
  39: 'four',
  40: 'byte',
  41: 'byte',
  42: 'byte',
});

/** Property identifiers a client may use, by packet. */
export const ALLOWED = {
  connect: new Set([17, 21, 22, 23, 25, 33, 34, 38, 39]),
  will: new Set([1, 2, 3, 8, 9, 24, 38]),
  publish: new Set([1, 2, 3, 8, 9, 35, 38]),
  acknowledge: new Set([31, 38]),
  subscribe: new Set([11, 38]),
  unsubscribe: new Set([38]),
  disconnect: new Set([17, 31, 38]),
  auth: new Set([21, 22, 31, 38]),
} as const;

/** Reads values one after the other and never past `end`. */
export class Reader {
  readonly buffer: Buffer;
  at: number;
  readonly end: number;

  constructor(buffer: Buffer, start: number, end: number) {
    this.buffer = buffer;
    this.at = start;
    this.end = end;
  }

  get left(): number {
    return this.end - this.at;
  }

  skip(count: number): number {
    const at = this.at;
    if (at + count > this.end) throw malformed('it ends too early');
    this.at = at + count;
    return at;
  }

  byte(): number {
    return this.buffer[this.skip(1)] as number;
  }

  two(): number {
    return this.buffer.readUInt16BE(this.skip(2));
  }

  four(): number {
    return this.buffer.readUInt32BE(this.skip(4));
  }

  varint(): number {
    let value = 0;
    for (let shift = 0; shift < 28; shift += 7) {
      const byte = this.byte();
      value |= (byte & 127) << shift;
      if (byte < 128) return value;
    }
    throw malformed('a variable byte integer has more than four bytes');
  }

  binary(): Buffer {
    const length = this.two();
    const at = this.skip(length);
    return this.buffer.subarray(at, at + length);
  }

  /** UTF-8 without the null character ([MQTT-1.5.4-1], [MQTT-1.5.4-2]). */
  text(): string {
    const bytes = this.binary();
    const text = bytes.toString();
    if (text.includes('\0')) throw malformed('a text has a null character');
    if (text.includes('\ufffd') && !isUtf8(bytes)) throw malformed('a text is not UTF-8');
    return text;
  }

  value(kind: Kind): PropertyValue {
    switch (kind) {
      case 'byte':
        return this.byte();
      case 'two':
        return this.two();
      case 'four':
        return this.four();
      case 'varint':
        return this.varint();
      case 'binary':
        return this.binary();
      case 'text':
        return this.text();
      case 'pair':
        return [this.text(), this.text()];
    }
  }
}

export type PropertyValue = number | string | Buffer | readonly [string, string];

/** Flags and switches: 0 or 1 only (MQTT 5, sections 3.1.2.11 and 3.3.2.3). */
const SWITCHES: ReadonlySet<number> = new Set([1, 23, 25]);

/** Reads a property list; `visit` gets each with the positions of its bytes. */
export function eachProperty(
  reader: Reader,
  allowed: ReadonlySet<number>,
  visit: (id: number, value: PropertyValue, from: number, to: number) => void,
): void {
  const length = reader.varint();
  if (length === 0) return;
  const list = new Reader(reader.buffer, reader.at, reader.skip(length) + length);
  let seen = 0n;
  while (list.left > 0) {
    const from = list.at;
    const id = list.varint();
    const kind = KINDS[id];
    if (kind === undefined) throw malformed(`there is no property ${id}`);
    if (!allowed.has(id)) throw protocolError(`property ${id} is not allowed in this packet`);
    const bit = 1n << BigInt(id);
    if (id !== PROPERTY.user && (seen & bit) !== 0n) throw protocolError(`property ${id} is there twice`);
    seen |= bit;
    const value = list.value(kind);
    if (SWITCHES.has(id) && value !== 0 && value !== 1) throw protocolError(`property ${id} must be 0 or 1`);
    visit(id, value, from, list.at);
  }
}

/** A property list as a map; user properties are left out. */
export function properties(reader: Reader, allowed: ReadonlySet<number>): Map<number, PropertyValue> {
  const found = new Map<number, PropertyValue>();
  eachProperty(reader, allowed, (id, value) => {
    if (id !== PROPERTY.user) found.set(id, value);
  });
  return found;
}

/** Bytes a variable byte integer takes. */
export function varintSize(value: number): number {
  if (value < 128) return 1;
  if (value < 16_384) return 2;
  return value < 2_097_152 ? 3 : 4;
}

/** Writes a variable byte integer; the position after it. */
export function writeVarint(into: Buffer, at: number, value: number): number {
  let rest = value;
  let position = at;
  while (rest > 127) {
    into[position] = (rest & 127) | 128;
    position += 1;
    rest >>>= 7;
  }
  into[position] = rest;
  return position + 1;
}

/** Bytes of properties, without the length in front. */
export function encodeProperties(entries: readonly (readonly [id: number, value: PropertyValue])[]): Buffer {
  const parts: Buffer[] = [];
  for (const [id, value] of entries) {
    parts.push(Buffer.from([id]));
    const kind = KINDS[id];
    if (typeof value === 'number') parts.push(numberBytes(kind, value));
    else if (typeof value === 'string') parts.push(lengthPrefixed(Buffer.from(value)));
    else if (Buffer.isBuffer(value)) parts.push(lengthPrefixed(value));
    else parts.push(lengthPrefixed(Buffer.from(value[0])), lengthPrefixed(Buffer.from(value[1])));
  }
  return Buffer.concat(parts);
}

function numberBytes(kind: Kind | undefined, value: number): Buffer {
  if (kind === 'byte') return Buffer.from([value]);
  if (kind === 'two') return Buffer.from([value >> 8, value & 255]);
  if (kind === 'varint') {
    const bytes = Buffer.alloc(varintSize(value));
    writeVarint(bytes, 0, value);
    return bytes;
  }
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

function lengthPrefixed(bytes: Buffer): Buffer {
  return Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 255]), bytes]);
}

/** MQTT spoken byte by byte, for what polite clients do not do: packets are built here and read back as they came. */

import type { Duplex } from 'node:stream';
import {
  encodeProperties,
  type PropertyValue,
  Reader,
  varintSize,
  writeVarint,
} from '../../../edge-components/broker/wire/properties.ts';

type Entries = readonly (readonly [id: number, value: PropertyValue])[];

export const text = (value: string): Buffer => {
  const bytes = Buffer.from(value);
  return Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 255]), bytes]);
};

export const props = (entries: Entries = []): Buffer => {
  const bytes = encodeProperties(entries);
  const length = Buffer.alloc(varintSize(bytes.length));
  writeVarint(length, 0, bytes.length);
  return Buffer.concat([length, bytes]);
};

/** A packet from its first byte and the parts of its body. */
export const packet = (header: number, ...parts: (Buffer | readonly number[])[]): Buffer => {
  const body = Buffer.concat(parts.map((part) => Buffer.from(part as Buffer)));
  const length = Buffer.alloc(varintSize(body.length));
  writeVarint(length, 0, body.length);
  return Buffer.concat([Buffer.from([header]), length, body]);
};

export interface ConnectOptions {
  readonly version?: 3 | 4 | 5;
  readonly clean?: boolean;
  readonly keepAlive?: number;
  readonly properties?: Entries;
  readonly will?: { readonly topic: string; readonly payload: string; readonly properties?: Entries };
  readonly flags?: number;
}

/** CONNECT; MQTT 5 unless said otherwise. */
export function connect(clientId: string, options: ConnectOptions = {}): Buffer {
  const { version = 5, clean = true, keepAlive = 0, will } = options;
  const flags = options.flags ?? (clean ? 2 : 0) | (will === undefined ? 0 : 4 | 8);
  const five = version === 5;
  return packet(
    0x10,
    text(version === 3 ? 'MQIsdp' : 'MQTT'),
    [version, flags, keepAlive >> 8, keepAlive & 255],
    five ? props(options.properties) : [],
    text(clientId),
    ...(will === undefined
      ? []
      : [five ? props(will.properties) : Buffer.alloc(0), text(will.topic), text(will.payload)]),
  );
}

export const subscribe = (
  id: number,
  filters: readonly (readonly [string, number])[],
  entries: Entries = [],
) =>
  packet(
    0x82,
    [id >> 8, id & 255],
    props(entries),
    ...filters.flatMap(([filter, options]) => [text(filter), Buffer.from([options])]),
  );

export const publish = (topic: string, payload: string, qos = 0, id = 0, entries: Entries = [], flags = 0) =>
  packet(
    0x30 | (qos << 1) | flags,
    text(topic),
    qos > 0 ? [id >> 8, id & 255] : [],
    props(entries),
    Buffer.from(payload),
  );

export const ack = (header: number, id: number, reason = 0): Buffer =>
  packet(header, [id >> 8, id & 255, ...(reason === 0 ? [] : [reason])]);

export interface Received {
  readonly type: number;
  readonly header: number;
  readonly body: Buffer;
}

/** Reads packets one at a time; after the end of the connection, `undefined`. */
export function reader(stream: Duplex): () => Promise<Received | undefined> {
  let buffered: Buffer = Buffer.alloc(0);
  let ended = false;
  const ready: Received[] = [];
  const waiting: ((packet: Received | undefined) => void)[] = [];
  const cut = (): void => {
    for (;;) {
      let length = 0;
      let at = 1;
      for (let shift = 0; ; shift += 7, at += 1) {
        const byte = buffered[at];
        if (byte === undefined) return;
        length |= (byte & 127) << shift;
        if (byte < 128) break;
      }
      at += 1;
      if (buffered.length < at + length) return;
      const header = buffered[0] as number;
      ready.push({ header, type: header >> 4, body: buffered.subarray(at, at + length) });
      buffered = buffered.subarray(at + length);
    }
  };
  const serve = (): void => {
    while (waiting.length > 0 && (ready.length > 0 || ended)) waiting.shift()?.(ready.shift());
  };
  stream.on('data', (chunk: Buffer) => {
    buffered = Buffer.concat([buffered, chunk]);
    cut();
    serve();
  });
  const end = (): void => {
    ended = true;
    serve();
  };
  stream.on('end', end);
  stream.on('close', end);
  return () =>
    new Promise((resolve) => {
      waiting.push(resolve);
      serve();
    });
}

/** The fields of an MQTT 5 PUBLISH. */
export function readPublish({ header, body }: Received) {
  const cursor = new Reader(body, 0, body.length);
  const topic = cursor.text();
  const qos = (header >> 1) & 3;
  const id = qos > 0 ? cursor.two() : 0;
  const length = cursor.varint();
  const list = new Reader(body, cursor.at, cursor.skip(length) + length);
  const found: [number, number | string | readonly string[]][] = [];
  while (list.left > 0) {
    const property = list.byte();
    if (property === 11) found.push([property, list.varint()]);
    else if (property === 35) found.push([property, list.two()]);
    else if (property === 2) found.push([property, list.four()]);
    else if (property === 1) found.push([property, list.byte()]);
    else if (property === 38) found.push([property, [list.text(), list.text()]]);
    else found.push([property, list.binary().toString()]);
  }
  return {
    topic,
    qos,
    id,
    duplicate: (header & 8) !== 0,
    retain: (header & 1) !== 0,
    properties: found,
    payload: body.subarray(cursor.at).toString(),
  };
}

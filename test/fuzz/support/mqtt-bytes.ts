/** MQTT packets as bytes, made by hand so that every one of them can be wrong (MQTT 3.1.1 and 5.0, section 2 and 3). */

import type { Draw } from './draw.ts';

const CONNECT = 1;
const PUBLISH = 3;
const SUBSCRIBE = 8;
const UNSUBSCRIBE = 10;

/** A level of a topic: a few names, so that packets meet. */
const level = (draw: Draw): string => draw.pick(['a', 'b', 'c', '', '+', '#', '$SYS', draw.text(20)]);

function topic(draw: Draw): string {
  const kind = draw.int(0, 19);
  if (kind < 12) return `fuzz/${draw.pick(['a', 'b', 'c'])}`;
  if (kind < 15) return draw.list(6, () => level(draw)).join('/');
  if (kind < 16)
    return Array(draw.int(1, 300))
      .fill(draw.pick(['a', '+', '', '#']))
      .join('/');
  if (kind < 17) return 'x'.repeat(draw.pick([10, 1000, 65_535, 66_000]));
  if (kind < 18) return `$share/${draw.pick(['g', '', '+', 'g/'])}/${level(draw)}`;
  return draw.text(100);
}

const uint16 = (value: number): Buffer => Buffer.from([(value >> 8) & 255, value & 255]);

function text(draw: Draw, value: string): Buffer {
  const bytes = Buffer.from(value, draw.chance(0.97) ? 'utf8' : 'latin1');
  // A length that lies.
  const length = draw.chance(0.98) ? Math.min(bytes.length, 65_535) : draw.int(0, 65_535);
  return Buffer.concat([uint16(length), bytes.subarray(0, 65_535)]);
}

/** A variable byte integer; five bytes are too many. */
function varInt(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  do {
    bytes.push((rest % 128) | (rest >= 128 ? 128 : 0));
    rest = Math.floor(rest / 128);
  } while (rest > 0);
  return Buffer.from(bytes);
}

function packet(draw: Draw, type: number, flags: number, ...parts: Buffer[]): Buffer {
  const body = Buffer.concat(parts);
  const length = draw.chance(0.98) ? body.length : draw.pick([0, 1, body.length + 1, 268_435_455, 2 ** 35]);
  return Buffer.concat([Buffer.from([(type << 4) | flags]), varInt(length), body]);
}

/** Properties of MQTT 5: known ones, doubled ones, unknown ones. */
function properties(draw: Draw, version: number): Buffer {
  if (version !== 5) return Buffer.alloc(0);
  const parts = draw.list(3, () =>
    draw.pick([
      () => Buffer.concat([Buffer.from([0x11]), draw.bytes(4)]),
      () => Buffer.concat([Buffer.from([0x02]), draw.bytes(4)]),
      () => Buffer.concat([Buffer.from([0x21]), draw.bytes(2)]),
      () => Buffer.concat([Buffer.from([0x22]), draw.bytes(2)]),
      () => Buffer.concat([Buffer.from([0x23]), uint16(draw.pick([0, 1, 5, 65_535]))]),
      () => Buffer.concat([Buffer.from([0x27]), draw.bytes(4)]),
      () => Buffer.concat([Buffer.from([0x0b]), varInt(draw.int(0, 300))]),
      () => Buffer.concat([Buffer.from([0x26]), text(draw, draw.text(20)), text(draw, draw.text(20))]),
      () => Buffer.concat([Buffer.from([0x08]), text(draw, topic(draw))]),
      () => Buffer.from([draw.int(0, 255), draw.int(0, 255)]),
    ])(),
  );
  const all = Buffer.concat(parts);
  return Buffer.concat([varInt(draw.chance(0.97) ? all.length : draw.int(0, 400)), all]);
}

function connect(draw: Draw, version: number): Buffer {
  const clean = draw.chance(0.7) ? 2 : 0;
  const will = draw.chance(0.3);
  const flags =
    clean |
    (will ? 4 | (draw.pick([0, 1, 2, 3]) << 3) | (draw.chance(0.3) ? 32 : 0) : 0) |
    (draw.chance(0.03) ? 1 : 0);
  const name = version === 3 ? 'MQIsdp' : 'MQTT';
  return packet(
    draw,
    CONNECT,
    draw.chance(0.99) ? 0 : draw.int(1, 15),
    text(draw, draw.chance(0.98) ? name : draw.text(10)),
    Buffer.from([draw.chance(0.98) ? version : draw.int(0, 255), flags]),
    uint16(draw.pick([0, 1, 60, 65_535])),
    properties(draw, version),
    text(draw, draw.chance(0.8) ? `fuzz-${draw.int(0, 15)}` : draw.text(100)),
    ...(will ? [properties(draw, version), text(draw, topic(draw)), text(draw, draw.text(200))] : []),
  );
}

const identifier = (draw: Draw): Buffer => uint16(draw.pick([0, 1, 2, 3, 65_535]));

function publish(draw: Draw, version: number): Buffer {
  const qos = draw.pick([0, 0, 1, 1, 2, 2, 3]);
  const flags = (qos << 1) | (draw.chance(0.2) ? 1 : 0) | (draw.chance(0.2) ? 8 : 0);
  return packet(
    draw,
    PUBLISH,
    flags,
    text(draw, topic(draw)),
    ...(qos > 0 ? [identifier(draw)] : []),
    properties(draw, version),
    draw.bytes(draw.size(300)),
  );
}

function subscribe(draw: Draw, version: number, type: number): Buffer {
  // Now and then more than a client may have.
  const filters = draw.list(draw.chance(0.01) ? 3000 : 60, () =>
    Buffer.concat([
      text(draw, topic(draw)),
      ...(type === SUBSCRIBE ? [Buffer.from([draw.pick([0, 1, 2, 3, 0x2c, 255])])] : []),
    ]),
  );
  return packet(
    draw,
    type,
    draw.chance(0.97) ? 2 : draw.int(0, 15),
    identifier(draw),
    properties(draw, version),
    ...filters,
  );
}

/** What a client sends: CONNECT first most of the time, then anything in any order. */
export function mqttBytes(draw: Draw): { readonly bytes: Buffer; readonly connects: boolean } {
  const version = draw.pick([3, 4, 4, 4, 5, 5, 5]);
  const connects = draw.chance(0.95);
  const packets = connects ? [connect(draw, version)] : [];
  for (let left = draw.size(40); left > 0; left -= 1) {
    const kind = draw.int(0, 19);
    if (kind < 8) packets.push(publish(draw, version));
    else if (kind < 11) packets.push(subscribe(draw, version, SUBSCRIBE));
    else if (kind < 12) packets.push(subscribe(draw, version, UNSUBSCRIBE));
    else if (kind < 16)
      packets.push(
        packet(
          draw,
          draw.pick([4, 5, 6, 7]),
          draw.pick([0, 2]),
          identifier(draw),
          ...(draw.chance(0.2) ? [properties(draw, version)] : []),
        ),
      );
    else if (kind < 17) packets.push(packet(draw, 12, 0));
    else if (kind < 18)
      packets.push(
        packet(draw, draw.pick([0, 2, 9, 11, 13, 14, 15]), draw.int(0, 15), draw.bytes(draw.int(0, 5))),
      );
    else if (kind < 19) packets.push(draw.bytes(draw.int(1, 60)));
    else packets.push(connect(draw, version));
  }
  const whole = Buffer.concat(packets);
  const bytes = draw.chance(0.85) ? whole : draw.mutate(whole);
  return { bytes, connects: connects && bytes.equals(whole) };
}

/** Throws when `bytes` are not whole packets that a server may send. */
export function checkServerBytes(bytes: Buffer): void {
  for (let at = 0; at < bytes.length; ) {
    const type = (bytes[at] as number) >> 4;
    if (![2, 3, 4, 5, 6, 7, 9, 11, 13, 14, 15].includes(type))
      throw new Error(`the broker sent a packet of type ${type}`);
    let length = 0;
    let factor = 1;
    let next = at + 1;
    for (;;) {
      const byte = bytes[next];
      // Cut: the connection was closed in the middle of a packet.
      if (byte === undefined) return;
      length += (byte & 127) * factor;
      factor *= 128;
      next += 1;
      if (byte < 128) break;
    }
    at = next + length;
  }
}

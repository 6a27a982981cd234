/** Clients that break the rules: each is told the reason the specification has for it, and nobody else notices. */

import { once } from 'node:events';
import t from 'tap';
import { type Rig, startRig } from './broker-rig.ts';
import {
  ack,
  connect,
  packet,
  props,
  publish,
  type Received,
  reader,
  subscribe,
  text,
} from './raw-client.ts';

/** Sends bytes, reads to the end: the reason code of DISCONNECT or CONNACK, or `closed` without one. */
async function reasonFor(rig: Rig, bytes: Buffer): Promise<number | 'closed'> {
  const socket = await rig.socket();
  const next = reader(socket);
  socket.write(bytes);
  let reason: number | 'closed' = 'closed';
  for (let one = await next(); one !== undefined; one = await next()) {
    if (one.type === 14) reason = one.body[0] ?? 0;
    if (one.type === 2 && one.body[1] !== 0) reason = one.body[1] ?? 0;
  }
  return reason;
}

const after = (bytes: Buffer): Buffer => Buffer.concat([connect('bad'), bytes]);
const five = (...body: (Buffer | readonly number[])[]): Buffer =>
  packet(0x10, text('MQTT'), [5, 2, 0, 0], ...body);

/** Name, bytes, the reason that is due. */
const CASES: readonly (readonly [string, Buffer, number | 'closed'])[] = [
  ['not MQTT at all', Buffer.from('GET / HTTP/1.1\r\n\r\n'), 'closed'],
  ['PUBLISH first', publish('a', 'b'), 'closed'],
  ['AUTH first', packet(0xf0, [0x18]), 'closed'],
  ['unknown protocol name', packet(0x10, text('HTTP'), [5, 2, 0, 0]), 'closed'],
  ['protocol level 6', packet(0x10, text('MQTT'), [6, 2, 0, 0], props(), text('x')), 1],
  ['CONNECT cut short', packet(0x10, text('MQTT'), [5, 2, 0]), 0x81],
  ['reserved flag of CONNECT', packet(0x10, text('MQTT'), [5, 3, 0, 0], props(), text('x')), 0x81],
  ['bytes after CONNECT', five(props(), text('x'), [1]), 0x81],
  ['receive maximum 0', five(props([[33, 0]]), text('x')), 0x82],
  ['maximum packet size 0', five(props([[39, 0]]), text('x')), 0x82],
  [
    'a property twice',
    five(
      props([
        [33, 1],
        [33, 1],
      ]),
      text('x'),
    ),
    0x82,
  ],
  ['a property of another packet', five(props([[35, 1]]), text('x')), 0x82],
  ['an unknown property', five([2, 99, 0], text('x')), 0x81],
  ['authentication data alone', five(props([[22, Buffer.from('x')]]), text('x')), 0x82],
  ['a client id that is not UTF-8', five(props(), [0, 1, 0xff]), 0x81],
  ['a null in the client id', five(props(), [0, 1, 0]), 0x81],
  [
    'a will of QoS 3',
    packet(0x10, text('MQTT'), [5, 0x1e, 0, 0], props(), text('x'), props(), text('w'), text('')),
    0x81,
  ],
  ['will flags without a will', packet(0x10, text('MQTT'), [5, 0x22, 0, 0], props(), text('x')), 0x81],
  ['a wildcard as will topic', connect('x', { will: { topic: 'a/#', payload: '' } }), 0x82],
  ['MQTT 3.1.1: empty client id without clean session', connect('', { version: 4, clean: false }), 2],
  [
    'MQTT 3.1.1: password without user',
    packet(0x10, text('MQTT'), [4, 0x42, 0, 0], text('x'), text('p')),
    'closed',
  ],
  ['CONNECT twice', after(connect('bad')), 0x82],
  ['CONNACK from a client', after(packet(0x20, [0, 0, 0])), 0x82],
  ['SUBACK from a client', after(packet(0x90, [0, 1, 0, 0])), 0x82],
  ['packet type 0', after(packet(0x00)), 0x82],
  ['QoS 3', after(packet(0x36, text('a'), [0, 1, 0])), 0x81],
  ['a duplicate of QoS 0', after(publish('a', 'b', 0, 0, [], 8)), 0x81],
  ['PUBLISH cut short', after(packet(0x32, [0, 9, 97])), 0x81],
  ['packet id 0', after(publish('a', 'b', 1, 0)), 0x82],
  ['an empty topic', after(publish('', 'b')), 0x82],
  ['a wildcard in a topic', after(publish('a/+', 'b')), 0x90],
  ['a null in a topic', after(publish('a\0', 'b')), 0x81],
  ['a topic that is not UTF-8', after(packet(0x30, [0, 2, 0xc3, 0x28], [0])), 0x81],
  ['a topic of 65,535 levels', after(publish('/'.repeat(65_535), 'b')), 0x90],
  ['a subscription identifier in PUBLISH', after(publish('a', 'b', 0, 0, [[11, 1]])), 0x82],
  ['a wildcard as response topic', after(publish('a', 'b', 0, 0, [[8, 'x/#']])), 0x82],
  ['payload format 2', after(publish('a', 'b', 0, 0, [[1, 2]])), 0x82],
  ['topic alias 0', after(publish('a', 'b', 0, 0, [[35, 0]])), 0x94],
  ['topic alias beyond the maximum', after(publish('a', 'b', 0, 0, [[35, 65_535]])), 0x94],
  ['an alias that was not set', after(publish('', 'b', 0, 0, [[35, 1]])), 0x94],
  ['properties longer than the packet', after(packet(0x30, text('a'), [100])), 0x81],
  ['a remaining length of five bytes', after(Buffer.from([0x30, 0xff, 0xff, 0xff, 0xff, 1])), 0x81],
  ['a packet too large', after(Buffer.from([0x30, 0xff, 0xff, 0xff, 0x7f])), 0x95],
  ['SUBSCRIBE with wrong bits', after(packet(0x80, [0, 1], props(), text('a'), [0])), 0x81],
  ['SUBSCRIBE without a filter', after(packet(0x82, [0, 1], props())), 0x82],
  ['SUBSCRIBE with packet id 0', after(subscribe(0, [['a', 0]])), 0x82],
  ['subscription of QoS 3', after(subscribe(1, [['a', 3]])), 0x81],
  ['retain handling 3', after(subscribe(1, [['a', 0x30]])), 0x82],
  ['reserved subscription bits', after(subscribe(1, [['a', 0xc0]])), 0x81],
  ['subscription identifier 0', after(subscribe(1, [['a', 0]], [[11, 0]])), 0x82],
  ['UNSUBSCRIBE without a filter', after(packet(0xa2, [0, 1], props())), 0x82],
  ['PUBACK cut short', after(packet(0x40, [0])), 0x81],
  ['PUBACK with packet id 0', after(ack(0x40, 0)), 0x81],
  ['PUBREL with wrong bits', after(ack(0x60, 1)), 0x81],
  ['PINGREQ with a body', after(packet(0xc0, [1])), 0x81],
  ['DISCONNECT with wrong bits', after(packet(0xe1)), 0x81],
  ['a server reference in DISCONNECT', after(packet(0xe0, [0], props([[28, 'x']]))), 0x82],
  ['AUTH without a method', after(packet(0xf0, [0x19])), 0x82],
];

t.test('every rule has its reason code', async (t) => {
  const rig = await startRig(t.testdir());
  const reasons = await Promise.all(CASES.map(([, bytes]) => reasonFor(rig, bytes)));
  for (const [index, [name, , due]] of CASES.entries()) t.equal(reasons[index], due, name);
  t.equal(rig.broker.status().connectedClients, 0);
  await rig.stop();
});

t.test('acknowledgements of nothing, thousands of subscriptions and deep filters are borne', async (t) => {
  const rig = await startRig(t.testdir(), { maxSubscriptionsPerClient: 3000 });
  const socket = await rig.socket();
  const next = reader(socket);
  socket.write(connect('much'));
  await next();
  for (let id = 1; id < 2000; id += 1) socket.write(Buffer.concat([ack(0x40, id), ack(0x70, id)]));
  const filters = Array.from({ length: 4000 }, (_, n) => [`${'+/'.repeat(n % 60)}x${n}`, 0] as const);
  socket.write(subscribe(1, filters));
  const codes = ((await next()) as Received).body.subarray(3);
  t.equal(codes.filter((code) => code === 0).length, 3000);
  t.equal(codes.filter((code) => code === 0x97).length, 1000, 'quota exceeded');
  socket.write(
    subscribe(2, [
      ['/'.repeat(500), 0],
      ['#', 0],
    ]),
  );
  t.same(((await next()) as Received).body.subarray(3), Buffer.from([0x8f, 0x97]));
  const started = process.cpuUsage();
  for (let n = 0; n < 200; n += 1) socket.write(publish(`${'a/'.repeat(59)}b${n}`, ''));
  socket.write(packet(0xc0));
  t.equal((await next())?.type, 13);
  const { user } = process.cpuUsage(started);
  t.ok(user < 2_000_000, `200 deep topics against 3000 filters took ${user} microseconds`);
  await rig.stop();
});

t.test('a takeover storm leaves one connection, a will loop ends', async (t) => {
  const rig = await startRig(t.testdir());
  const sockets = await Promise.all(Array.from({ length: 60 }, () => rig.socket()));
  const closed = sockets.map((socket) => {
    socket.resume();
    return once(socket, 'close');
  });
  for (const socket of sockets) {
    const will = { topic: 'loop/x', payload: 'again' };
    socket.write(Buffer.concat([connect('same', { will }), subscribe(1, [['loop/#', 0]])]));
  }
  await Promise.race(closed);
  const last = await rig.socket();
  const next = reader(last);
  last.write(connect('same'));
  t.equal((await next())?.type, 2);
  await Promise.all(closed);
  t.equal(rig.broker.status().connectedClients, 1);
  await rig.stop();
});

t.test('who never reads its acknowledgements is not read either', async (t) => {
  const rig = await startRig(t.testdir());
  const socket = await rig.socket();
  socket.write(connect('deaf', { version: 4 }));
  await once(socket, 'data');
  socket.pause();
  const flood = Buffer.concat(Array.from({ length: 4000 }, () => packet(0xc0)));
  let sent = 0;
  while (sent < 5000 && socket.write(flood)) sent += 1;
  for (let round = 0; round < 400 && socket.writableLength < 8 * flood.length; round += 1) {
    socket.write(flood);
    await new Promise((resolve) => setImmediate(resolve));
  }
  t.ok(socket.writableLength > 0, 'it waits on its own side');
  const other = await rig.client();
  await other.publishAsync('still', 'served', { qos: 1 });
  await rig.stop();
});

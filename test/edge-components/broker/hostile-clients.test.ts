/** Packets made to bring the broker down: each costs its sender the connection and nobody else anything. */

import { once } from 'node:events';
import type { Socket } from 'node:net';
import t from 'tap';
import { bytes, collect, packetReader, type Rig, startRig } from './broker-rig.ts';

const text = (value: string): Buffer => Buffer.concat([Buffer.from([0, value.length]), Buffer.from(value)]);
const packet = (first: number, ...parts: Buffer[]): Buffer => {
  const body = Buffer.concat(parts);
  return Buffer.concat([Buffer.from([first, body.length]), body]);
};
/** CONNECT of MQTT 5.0 with these properties. */
const connect5 = (clientId: string, properties: readonly number[]): Buffer =>
  packet(0x10, text('MQTT'), Buffer.from([5, 0, 0, 60, properties.length, ...properties]), text(clientId));
/** CONNECT of MQTT 3.1.1 with a will, which the broker writes to its disk before it answers. */
const connectWithWill = (clientId: string): Buffer =>
  packet(0x10, text('MQTT'), Buffer.from([4, 0x06, 0, 60]), text(clientId), text('gone'), text('bye'));
const expiry = (seconds: number): number[] => [0x11, 0, 0, 0, seconds];

async function closed(socket: Socket): Promise<void> {
  socket.resume();
  if (!socket.destroyed) await once(socket, 'close');
}

/** A client that is served as if nothing had happened. */
async function stillServes(rig: Rig): Promise<boolean> {
  const socket = await rig.socket();
  const next = packetReader(socket);
  socket.write(bytes.connect('healthy', true));
  const answer = await next();
  socket.destroy();
  return answer.equals(Buffer.from([0x20, 2, 0, 0]));
}

t.test('a property twice is a protocol error (MQTT 5.0, 2.2.2)', async (t) => {
  const rig = await startRig(t.testdir());
  const connecting = await rig.socket();
  connecting.write(connect5('twice', [...expiry(10), ...expiry(20)]));
  await closed(connecting);
  const leaving = await rig.socket();
  const next = packetReader(leaving);
  leaving.write(connect5('leaving', expiry(10)));
  t.equal((await next())[0], 0x20);
  leaving.write(packet(0xe0, Buffer.from([0, 10, ...expiry(10), ...expiry(20)])));
  await closed(leaving);
  t.ok(await stillServes(rig));
  t.ok(rig.log.lines.some(({ fields }) => /property 17 is there twice/.test(String(fields['error']))));
  await rig.stop();
});

t.test('client ids and topics that every object knows', async (t) => {
  const rig = await startRig(t.testdir());
  for (const name of ['constructor', 'toString', '__proto__', 'hasOwnProperty']) {
    const socket = await rig.socket();
    const next = packetReader(socket);
    socket.write(bytes.connect(name, true));
    t.equal((await next())[0], 0x20, `CONNACK for ${name}`);
    socket.write(bytes.subscribe(name, 1));
    t.same([...(await next())], [0x90, 3, 0, 9, 1], `SUBACK for ${name}`);
    socket.write(bytes.publish(name, 'x', 1, 1));
    const kinds = [(await next())[0], (await next())[0]];
    t.same(kinds.sort(), [0x32, 0x40], `PUBACK and the message for ${name}`);
    socket.destroy();
  }
  t.ok(await stillServes(rig));
  await rig.stop();
});

t.test('a client that leaves before its CONNACK is no client', async (t) => {
  const rig = await startRig(t.testdir());
  const before = rig.broker.status().connectedClients;
  for (let number = 0; number < 40; number += 1) {
    const socket = await rig.socket();
    const whole = connectWithWill(`ghost-${number}`);
    // The rest of the packet and the end of the connection arrive together.
    socket.write(whole.subarray(0, 12));
    await new Promise((resolve) => setImmediate(resolve));
    socket.end(whole.subarray(12));
    await closed(socket);
  }
  const last = await rig.client({ clientId: 'last' });
  for (let tries = 0; tries < 50 && rig.broker.status().connectedClients > before + 1; tries += 1)
    await last.publishAsync('a', 'x', { qos: 1 });
  t.equal(rig.broker.status().connectedClients, before + 1);
  await rig.stop();
});

t.test('a client has so many subscriptions and no more', async (t) => {
  const rig = await startRig(t.testdir(), { maxSubscriptionsPerClient: 3 });
  for (const clean of [true, false]) {
    const client = await rig.client({ clientId: `many-${clean}`, clean });
    const filters = ['a', 'b', 'c', 'd', 'e'];
    const granted = await client.subscribeAsync(filters, { qos: 1 }).catch((error: Error) => error);
    t.match(granted, { message: /Subscribe error|Unspecified/ }, 'the SUBACK refuses some');
    await client.unsubscribeAsync(['a', 'b']);
    t.match(await client.subscribeAsync('f', { qos: 1 }), [{ topic: 'f', qos: 1 }], 'room again');
  }
  await rig.stop();
});

t.test('what the SUBACK refuses is not kept for the session', async (t) => {
  const rig = await startRig(t.testdir(), { maxSubscriptionsPerClient: 2 });
  const first = await rig.client({ clientId: 'kept', clean: false });
  await first.subscribeAsync(['a', 'b', 'c'], { qos: 1 }).catch(() => {});
  await first.endAsync();
  const other = await rig.client({ clientId: 'other' });
  for (const topic of ['c', 'b', 'a']) await other.publishAsync(topic, topic, { qos: 1 });
  const second = await rig.client({ clientId: 'kept', clean: false }, false);
  t.same(await collect(second).until(2), ['b b', 'a a']);
  await rig.stop();
});

t.test('one packet with very many filters', async (t) => {
  const rig = await startRig(t.testdir());
  for (const clean of [true, false]) {
    const socket = await rig.socket();
    socket.write(bytes.connect(`many-${clean}`, clean));
    await once(socket, 'data');
    const filters = Array.from({ length: 60_000 }, (_, index) =>
      Buffer.concat([text(index.toString(36)), Buffer.from([1])]),
    );
    const body = Buffer.concat([Buffer.from([0, 1]), ...filters]);
    const length = [(body.length & 127) | 128, ((body.length >> 7) & 127) | 128, body.length >> 14];
    let received = 0;
    const answered = new Promise<void>((resolve) => {
      socket.on('data', (part: Buffer) => {
        received += part.length;
        if (received >= 60_000) resolve();
      });
    });
    socket.write(Buffer.concat([Buffer.from([0x82, ...length]), body]));
    await answered;
    socket.destroy();
  }
  t.ok(await stillServes(rig));
  await rig.stop();
});

/** The broker as its clients see it: what is acknowledged is kept, in order, across restarts and for whoever was away. */

import { type EventEmitter, once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import t from 'tap';
import { createBroker } from '../../../edge-components/broker/broker.ts';
import { hashPassword } from '../../../edge-components/broker/passwords.ts';
import { systemClock } from '../../../runtime/platform/system-clock.ts';
import { systemIds } from '../../../runtime/platform/system-ids.ts';
import { recordingLogger } from '../../support/recording-logger.ts';
import { bytes, collect, packetReader, startRig } from './broker-rig.ts';

t.test('a subscriber that was away gets every message in order, also after a restart', async (t) => {
  const directory = t.testdir();
  let rig = await startRig(directory);
  const away = await rig.client({ clientId: 'away', clean: false });
  await away.subscribeAsync('plant/#', { qos: 1 });
  await away.endAsync();
  const publisher = await rig.client();
  for (let n = 0; n < 50; n += 1)
    await publisher.publishAsync('plant/a', `m${n}`, { qos: n % 2 === 0 ? 1 : 2 });
  await publisher.publishAsync('plant/state', 'on', { qos: 1, retain: true });
  t.match(rig.broker.status(), { sessions: 1, queuedMessages: 51, retainedMessages: 1 });
  await rig.stop();

  rig = await startRig(directory);
  t.match(rig.broker.status(), { sessions: 1, queuedMessages: 51, retainedMessages: 1 });
  const back = rig.client({ clientId: 'away', clean: false, manualConnect: false });
  const got = collect(await back);
  const expected = [...Array.from({ length: 50 }, (_, n) => `plant/a m${n}`), 'plant/state on'];
  t.same(await got.until(51), expected);

  const late = await rig.client();
  const retained = collect(late);
  await late.subscribeAsync('plant/+', { qos: 1 });
  t.same(await retained.until(1), ['plant/state on']);
  await (await rig.client()).publishAsync('plant/state', '', { qos: 1, retain: true });
  t.equal(rig.broker.status().retainedMessages, 0, 'an empty retained message removes it');
  await rig.stop();
});

t.test('PUBACK and PUBREC wait for the disk', async (t) => {
  const rig = await startRig(t.testdir());
  const keeper = await rig.client({ clientId: 'keeper', clean: false });
  await keeper.subscribeAsync('a', { qos: 2 });
  const socket = await rig.socket();
  const next = packetReader(socket);
  socket.write(bytes.connect('p', true));
  t.same(await next(), Buffer.from([0x20, 2, 0, 0]));

  const database = await rig.databases.system();
  const other = await rig.socket();
  const nextOther = packetReader(other);
  other.write(bytes.connect('other', true));
  await nextOther();
  rig.hold();
  socket.write(Buffer.concat([bytes.publish('a', 'one', 1, 1), bytes.publish('a', 'two', 2, 2)]));
  while (Number(database.read('SELECT count(*) AS n FROM mqtt_message')[0]?.['n']) < 2) {
    other.write(Buffer.from([0xc0, 0]));
    t.same(await nextOther(), Buffer.from([0xd0, 0]), 'others are served meanwhile');
  }
  t.equal(socket.bytesRead, 4, 'nothing but CONNACK was sent');
  await database.close();
  rig.release();
  const answers = [await next(), await next()].map((packet) => packet[0]).sort();
  t.same(answers, [0x40, 0x50]);

  rig.hold();
  socket.write(bytes.publish('nobody', 'kept by nobody', 1, 3));
  t.same(await next(), Buffer.from([0x40, 2, 0, 3]), 'what nobody must keep does not wait');
  rig.release();
  await rig.stop();
});

t.test('QoS 2: a repeated PUBLISH is one message, also after a restart', async (t) => {
  const directory = t.testdir();
  let rig = await startRig(directory);
  const keeper = await rig.client({ clientId: 'keeper', clean: false });
  await keeper.subscribeAsync('a', { qos: 2 });
  await keeper.endAsync();
  let socket = await rig.socket();
  let next = packetReader(socket);
  socket.write(bytes.connect('p', false));
  await next();
  socket.write(bytes.publish('a', 'once', 2, 7));
  t.same(await next(), Buffer.from([0x50, 2, 0, 7]));
  await rig.stop();

  rig = await startRig(directory);
  socket = await rig.socket();
  next = packetReader(socket);
  socket.write(bytes.connect('p', false));
  await next();
  socket.write(bytes.publish('a', 'once', 2, 7, true));
  t.same(await next(), Buffer.from([0x50, 2, 0, 7]));
  socket.write(bytes.pubrel(7));
  t.same(await next(), Buffer.from([0x70, 2, 0, 7]));
  t.equal(rig.broker.status().queuedMessages, 1);
  socket.write(bytes.publish('a', 'again', 2, 7));
  t.same(await next(), Buffer.from([0x50, 2, 0, 7]));
  t.equal(rig.broker.status().queuedMessages, 2, 'after PUBREL the id names another message');
  await rig.stop();
});

t.test('what was sent and not acknowledged comes again under its packet id', async (t) => {
  const directory = t.testdir();
  let rig = await startRig(directory);
  let socket = await rig.socket();
  let next = packetReader(socket);
  socket.write(Buffer.concat([bytes.connect('s', false), bytes.subscribe('a', 2)]));
  t.same((await next())[0], 0x20);
  t.same((await next())[0], 0x90);
  const publisher = await rig.client();
  await publisher.publishAsync('a', 'x', { qos: 2 });
  const first = await next();
  t.equal(first[0], 0x34);
  const id = first.readUInt16BE(5);
  socket.destroy();
  await rig.stop();

  rig = await startRig(directory);
  socket = await rig.socket();
  next = packetReader(socket);
  socket.write(bytes.connect('s', false));
  t.same(await next(), Buffer.from([0x20, 2, 1, 0]), 'session present');
  const second = await next();
  t.equal(second[0], 0x3c, 'QoS 2 with DUP');
  t.equal(second.readUInt16BE(5), id);
  socket.write(bytes.pubrec(id));
  t.equal((await next())[0], 0x62);
  socket.destroy();

  socket = await rig.socket();
  next = packetReader(socket);
  socket.write(bytes.connect('s', false));
  await next();
  t.same(await next(), Buffer.from([0x62, 2, id >> 8, id & 255]), 'after PUBREC only PUBREL is repeated');
  socket.write(bytes.pubcomp(id));
  socket.write(Buffer.from([0xc0, 0]));
  t.same(await next(), Buffer.from([0xd0, 0]));
  t.equal(rig.broker.status().queuedMessages, 0);
  await rig.stop();
});

t.test('a full queue drops the oldest and counts it', async (t) => {
  const rig = await startRig(t.testdir(), { maxQueuedPerClient: { messages: 5 } });
  const away = await rig.client({ clientId: 'away', clean: false });
  await away.subscribeAsync('a', { qos: 1 });
  await away.endAsync();
  const publisher = await rig.client();
  for (let n = 0; n < 8; n += 1) await publisher.publishAsync('a', `${n}`, { qos: 1 });
  t.equal(rig.counts['queue-full'], 3);
  t.equal(rig.log.lines.filter((line) => /queue of a client is full/.test(line.message)).length, 1);
  const got = collect(await rig.client({ clientId: 'away', clean: false }));
  t.same(await got.until(5), ['a 3', 'a 4', 'a 5', 'a 6', 'a 7']);
  await rig.stop();
});

t.test('noise, malformed and oversize packets close their connection and nothing else', async (t) => {
  const rig = await startRig(t.testdir(), { maxPacketBytes: 1000 });
  const healthy = await rig.client();
  const attacks: Record<string, Buffer> = {
    http: Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n'),
    'publish before connect': bytes.publish('a', 'b', 0, 0),
    'malformed after connect': Buffer.concat([bytes.connect('m', true), Buffer.from([0x36, 2, 0, 0])]),
    oversize: Buffer.concat([bytes.connect('o', true), Buffer.from([0x30, 0xff, 0xff, 0x7f, 0, 1, 97])]),
  };
  for (const [name, attack] of Object.entries(attacks)) {
    const before = rig.log.lines.length;
    const socket = await rig.socket();
    socket.resume();
    const closed = once(socket, 'close');
    socket.write(attack);
    await closed;
    const lines = rig.log.lines.slice(before);
    t.equal(lines.length, 1, `${name}: one line`);
    t.match(lines[0]?.fields['peer'], /^127\.0\.0\.1:\d+$/, name);
  }
  const got = collect(healthy);
  await healthy.subscribeAsync('still/here', { qos: 1 });
  await healthy.publishAsync('still/here', 'yes', { qos: 1 });
  t.same(await got.until(1), ['still/here yes']);
  await rig.stop();
});

t.test('a subscriber that does not read costs the others nothing', async (t) => {
  const rig = await startRig(t.testdir(), { maxQueuedPerClient: { bytes: 1024 * 1024 } });
  const frozen = await rig.socket();
  frozen.write(Buffer.concat([bytes.connect('frozen', true), bytes.subscribe('big', 1)]));
  await once(frozen, 'readable');
  frozen.pause();
  const reader = await rig.client();
  const got = collect(reader);
  await reader.subscribeAsync('big', { qos: 1 });
  const publisher = await rig.client();
  const payload = Buffer.alloc(256 * 1024, 'x');
  for (let n = 0; n < 60; n += 1) await publisher.publishAsync('big', payload, { qos: 1 });
  t.equal((await got.until(60)).length, 60);
  t.ok((rig.counts['queue-full'] ?? 0) > 0, 'what the frozen one cannot take is counted');
  await rig.stop();
});

t.test('a share group hands each message to one member, live or away', async (t) => {
  const rig = await startRig(t.testdir());
  const one = await rig.client({ clientId: 'one', clean: false });
  const two = await rig.client();
  const gotOne = collect(one);
  const gotTwo = collect(two);
  await one.subscribeAsync('$share/g/work/+', { qos: 1 });
  await two.subscribeAsync('$share/g/work/+', { qos: 1 });
  const publisher = await rig.client();
  for (let n = 0; n < 10; n += 1) await publisher.publishAsync('work/x', `${n}`, { qos: 1 });
  await Promise.all([gotOne.until(5), gotTwo.until(5)]);
  t.same(
    [...gotOne.lines, ...gotTwo.lines].sort(),
    Array.from({ length: 10 }, (_, n) => `work/x ${n}`),
  );
  await Promise.all([one.endAsync(), two.endAsync()]);
  await publisher.publishAsync('work/x', 'later', { qos: 1 });
  const back = collect(await rig.client({ clientId: 'one', clean: false }));
  t.same(await back.until(1), ['work/x later']);
  await rig.stop();
});

t.test('a will is published when its connection breaks, also when the broker broke first', async (t) => {
  const directory = t.testdir();
  const rig = await startRig(directory);
  const watcher = await rig.client({ clientId: 'watcher', clean: false });
  const got = collect(watcher);
  await watcher.subscribeAsync('will/#', { qos: 1 });
  const will = (topic: string): { will: { topic: string; payload: Buffer; qos: 1; retain: false } } => ({
    will: { topic, payload: Buffer.from('gone'), qos: 1, retain: false },
  });
  const device = await rig.client({ clientId: 'd', ...will('will/d') });
  device.stream.destroy();
  t.same(await got.until(1), ['will/d gone']);
  const polite = await rig.client({ clientId: 'polite', ...will('will/polite') });
  await polite.endAsync();
  const database = await rig.databases.system();
  await database.write([
    {
      sql: 'INSERT INTO mqtt_will (client, topic, payload, qos, retain) VALUES (?, ?, ?, 1, 0)',
      params: ['crashed', 'will/crashed', Buffer.from('gone')],
    },
  ]);
  await rig.stop();
  const again = await startRig(directory);
  const later = collect(await again.client({ clientId: 'watcher', clean: false }));
  t.same(await later.until(1), ['will/crashed gone']);
  await again.stop();
});

t.test('a clean start forgets the session', async (t) => {
  const rig = await startRig(t.testdir());
  const first = await rig.client({ clientId: 'c', clean: false });
  await first.subscribeAsync('a', { qos: 1 });
  await first.endAsync();
  await (await rig.client()).publishAsync('a', '1', { qos: 1 });
  t.match(rig.broker.status(), { sessions: 1, queuedMessages: 1 });
  await rig.client({ clientId: 'c', clean: true });
  t.match(rig.broker.status(), { sessions: 0, queuedMessages: 0 });
  const database = await rig.databases.system();
  for (const table of ['session', 'subscription', 'delivery', 'message']) {
    t.same(database.read(`SELECT count(*) AS n FROM mqtt_${table}`), [{ n: 0 }], table);
  }
  await database.close();
  await rig.stop();
});

t.test('users: right password in, wrong and none out, the node itself always', async (t) => {
  const users = [
    { name: 'plain', password: 'p1' },
    { name: 'hashed', passwordHash: await hashPassword('p2') },
  ];
  const rig = await startRig(t.testdir(), { users });
  await rig.client({ username: 'plain', password: 'p1' });
  await rig.client({ username: 'hashed', password: 'p2' });
  await rig.client({ username: 'hashed', password: 'p2' });
  await t.rejects(rig.client({ username: 'hashed', password: 'p1' }), {
    message: /Bad username or password/,
  });
  await t.rejects(rig.client({ username: 'nobody', password: 'p1' }), {
    message: /Bad username or password/,
  });
  await t.rejects(rig.client({}), { message: /Not authorized/ });
  const local = await rig.broker.connect();
  const next = packetReader(local as never);
  local.write(bytes.connect('local', true));
  t.same(await next(), Buffer.from([0x20, 2, 0, 0]));
  local.destroy();
  await rig.stop();
});

t.test('MQTT 5: properties are kept and an expired message is not delivered', async (t) => {
  const directory = t.testdir();
  let rig = await startRig(directory);
  const session = {
    clientId: 'five',
    clean: false,
    protocolVersion: 5 as const,
    properties: { sessionExpiryInterval: 600 },
  };
  const away = await rig.client(session);
  await away.subscribeAsync('a', { qos: 1 });
  await away.endAsync();
  const publisher = await rig.client({ protocolVersion: 5 });
  const properties = { userProperties: { k: 'v' }, messageExpiryInterval: 60 };
  await publisher.publishAsync('a', 'stale', { qos: 1, properties });
  await publisher.publishAsync('a', 'fresh', { qos: 1, properties });
  const database = await rig.databases.system();
  await database.write([
    { sql: 'UPDATE mqtt_message SET expires_at = 1 WHERE id = 1 AND expires_at > 1', atLeast: 1 },
  ]);
  await database.close();
  await rig.stop();

  rig = await startRig(directory);
  const back = await rig.client({ ...session, manualConnect: true }, false);
  const received = once(back as unknown as EventEmitter, 'message') as Promise<
    [string, Buffer, { properties?: Record<string, unknown> }]
  >;
  back.connect();
  const [topic, payload, packet] = await received;
  t.same([topic, payload.toString()], ['a', 'fresh']);
  t.match(packet.properties, { userProperties: { k: 'v' }, messageExpiryInterval: /^(5\d|60)$/ });
  t.equal(rig.counts['expired'], 1);
  await rig.stop();
});

t.test('packets that come in many small pieces are read to their end', async (t) => {
  const rig = await startRig(t.testdir());
  const local = await rig.broker.connect();
  const next = packetReader(local as never);
  const pieces = Buffer.concat([
    bytes.connect('pieces', true),
    bytes.subscribe('a', 1),
    bytes.publish('a', 'x', 1, 1),
  ]);
  for (const byte of pieces) local.write(Buffer.from([byte]));
  const kinds = [(await next())[0], (await next())[0], (await next())[0], (await next())[0]];
  t.same(new Set(kinds), new Set([0x20, 0x32, 0x40, 0x90]), 'CONNACK, SUBACK, PUBACK and the message');
  local.destroy();
  await rig.stop();
});

t.test('options that are unsafe or no sense are refused before anything starts', async (t) => {
  const make = (options: Parameters<typeof createBroker>[0]['options']): ReturnType<typeof createBroker> =>
    createBroker({
      databases: { open: () => Promise.reject(), system: () => Promise.reject(), close: async () => {} },
      clock: systemClock(),
      ids: systemIds(systemClock()),
      log: recordingLogger(),
      metrics: { count: () => {}, observe: () => {}, gauge: () => {} },
      options,
    });
  const open = { tcp: { host: '0.0.0.0', port: 1883 } };
  t.throws(() => make(open), { message: /--mqtt-port would listen at 0\.0\.0\.0.*no users/ });
  t.doesNotThrow(() => make({ ...open, allowAnonymous: true }));
  t.doesNotThrow(() => make({ ...open, users: [{ name: 'u', password: 'p' }] }));
  t.throws(() => make({ users: [{ name: 'u' }] }), {
    message: /user u needs either password or passwordHash/,
  });
  t.throws(() => make({ maxPacketBytes: 0 }), { message: /maxPacketBytes must be a positive integer/ });
  const broker = make({ tcp: { host: '127.0.0.1', port: 1999 } });
  t.ok(
    broker.owns('embedded:') && broker.owns('mqtt://localhost:1999') && broker.owns('tcp://127.0.0.1:1999'),
  );
  t.notOk(
    broker.owns('mqtt://localhost:1998') ||
      broker.owns('mqtt://elsewhere:1999') ||
      broker.owns('ws://localhost:1999'),
  );
});

t.test('a port in use is named with its option', async (t) => {
  const other = createServer().listen(0, '127.0.0.1');
  await once(other, 'listening');
  const { port } = other.address() as AddressInfo;
  await t.rejects(startRig(t.testdir(), { tcp: { host: '127.0.0.1', port } }), {
    message: `MQTT broker: 127.0.0.1:${port} is in use by another program; choose another port with --mqtt-port`,
  });
  other.close();
});

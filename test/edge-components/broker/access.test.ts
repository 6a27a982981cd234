/** Users, certificates and the access list: who gets in, what they may do, and how that changes while running. */

import { createHash, pbkdf2Sync } from 'node:crypto';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import mqtt from 'mqtt';
import t from 'tap';
import { Access, includes, overlap } from '../../../edge-components/broker/access.ts';
import { parseAcl, readAclFile } from '../../../edge-components/broker/acl-file.ts';
import {
  CA_CERT,
  CLIENT_CERT,
  CLIENT_KEY,
  SERVER_CERT,
  SERVER_KEY,
} from '../../support/test-certificates.ts';
import { collect, startRig } from './broker-rig.ts';
import { connect, packet, publish, type Received, reader, subscribe } from './raw-client.ts';

t.test('the file: lines, defaults, faults with their line', async (t) => {
  const list = parseAcl(
    '# all\ntopic read news/#\n\nuser anna\ntopic a/b c\ntopic deny a/b c/d\npattern write dev/%c/#\n',
    'f',
  );
  t.same(list.anonymous, [{ access: 'read', filter: 'news/#' }]);
  t.same(list.users.get('anna'), [
    { access: 'readwrite', filter: 'a/b c' },
    { access: 'deny', filter: 'a/b c/d' },
  ]);
  t.same(list.patterns, [{ access: 'write', filter: 'dev/%c/#' }]);
  t.throws(() => parseAcl('topic read a\ntopics b\n', 'f'), {
    message: /line 2 of 'f': 'topics' is not one of/,
  });
  t.throws(() => parseAcl('user\n', 'f'), { message: /line 1 of 'f': user needs a name/ });
  t.throws(() => parseAcl('topic a/#/b\n', 'f'), { message: /line 1 of 'f'.*# must be alone/ });
  await t.rejects(readAclFile(join(t.testdir(), 'none')), { message: /--mqtt-acl-file: cannot read/ });
});

t.test('filters that hold or touch each other', async (t) => {
  for (const [outer, inner, holds, touches] of [
    ['#', 'a/b', true, true],
    ['#', '$SYS/x', false, false],
    ['a/+', 'a/b', true, true],
    ['a/+', 'a/#', false, true],
    ['a/#', 'a/+/c', true, true],
    ['a/b', 'a/+', false, true],
    ['a/+/c', 'a/b/+', false, true],
    ['a/b/c', 'a/+', false, false],
    ['a', 'b', false, false],
  ] as const) {
    t.equal(includes(outer, inner), holds, `${outer} holds ${inner}`);
    t.equal(overlap(outer, inner), touches, `${outer} touches ${inner}`);
  }
});

t.test('patterns never turn a name into a wildcard', async (t) => {
  const access = new Access([], undefined, parseAcl('pattern readwrite dev/%c/%u/#\n', 'f'));
  t.ok(access.mayPublish('u', 'c', 'dev/c/u/x'));
  t.notOk(access.mayPublish('u', '+', 'dev/c/u/x'));
  t.notOk(access.mayPublish('#', 'c', 'dev/c/u/x'));
  t.notOk(access.mayPublish(undefined, 'c', 'dev/c//x'));
});

t.test('publish, subscribe and delivery follow the list, also after it was replaced', async (t) => {
  const users = [
    { name: 'anna', password: 'a' },
    { name: 'bert', password: 'b' },
  ];
  const accessList = parseAcl(
    'user anna\ntopic readwrite #\nuser bert\ntopic read plant/#\ntopic deny plant/secret\ntopic write out\n',
    'f',
  );
  const rig = await startRig(t.testdir(), { users, accessList });
  const anna = await rig.client({ username: 'anna', password: 'a' });
  const bert = await rig.client({ username: 'bert', password: 'b', protocolVersion: 5 });
  const got = collect(bert);
  const seen = collect(anna);
  await anna.subscribeAsync('#', { qos: 1 });
  await t.rejects(bert.subscribeAsync('other/#', { qos: 1 }), { message: /Not authorized/ });
  await bert.subscribeAsync('plant/#', { qos: 1 });
  await t.rejects(bert.publishAsync('plant/x', 'no', { qos: 1 }), { message: /Not authorized/ });
  await bert.publishAsync('out', 'yes', { qos: 1 });
  t.same(await seen.until(1), ['out yes']);
  await anna.publishAsync('plant/secret', 's', { qos: 1 });
  await anna.publishAsync('plant/open', 'o', { qos: 1 });
  t.same(await got.until(1), ['plant/open o']);
  t.equal(rig.counts['not-authorized'], 1);

  rig.broker.replaceAccess(
    users,
    parseAcl('user anna\ntopic readwrite #\nuser bert\ntopic read late/#\n', 'f'),
  );
  await anna.publishAsync('plant/open', 'no more', { qos: 1 });
  await bert.subscribeAsync('late/#', { qos: 1 });
  await anna.publishAsync('late/x', 'l', { qos: 1 });
  t.same(await got.until(2), ['plant/open o', 'late/x l']);
  t.throws(() => rig.broker.replaceAccess([{ name: '', password: 'x' }], undefined), {
    message: /empty name/,
  });
  await rig.stop();
});

t.test(
  'a nameless client is not told why it may not subscribe; MQTT 3 gets an acknowledgement in vain',
  async (t) => {
    const rig = await startRig(t.testdir(), { accessList: parseAcl('topic read a\n', 'f') });
    const socket = await rig.socket();
    const next = reader(socket);
    socket.write(
      Buffer.concat([
        connect('x'),
        subscribe(1, [
          ['a', 1],
          ['b', 1],
        ]),
      ]),
    );
    await next();
    t.same(((await next()) as Received).body.subarray(3), Buffer.from([1, 0x80]));
    const three = await rig.client();
    await three.publishAsync('a', 'x', { qos: 1 });
    socket.write(packet(0xc0));
    t.equal((await next())?.type, 13, 'acknowledged and dropped');
    await rig.stop();
  },
);

t.test('hashes of mosquitto_passwd are understood', async (t) => {
  const salt = Buffer.from('0123456789ab');
  const seven = pbkdf2Sync('p7', salt, 101, 64, 'sha512').toString('base64');
  const six = createHash('sha512').update('p6').update(salt).digest('base64');
  const users = [
    { name: 'seven', passwordHash: `$7$101$${salt.toString('base64')}$${seven}` },
    { name: 'six', passwordHash: `$6$${salt.toString('base64')}$${six}` },
  ];
  const access = new Access(users, undefined, undefined);
  const admit = (name: string, password: string) =>
    access.admit({
      trusted: false,
      certificateUser: undefined,
      authenticatedUser: undefined,
      name,
      password: Buffer.from(password),
    });
  t.same(await admit('seven', 'p7'), { user: 'seven' });
  t.same(await admit('six', 'p6'), { user: 'six' });
  t.match(await admit('seven', 'p6'), { refused: 4 });
});

t.test('TLS and secure WebSocket: the certificate is the user', async (t) => {
  const listen = { host: '127.0.0.1', port: 0, cert: SERVER_CERT, key: SERVER_KEY, ca: CA_CERT };
  const rig = await startRig(t.testdir(), {
    tls: listen,
    wss: { ...listen, path: '/' },
    users: [{ name: 'somebody', password: 'else' }],
    accessList: parseAcl('user client\ntopic readwrite own/#\n', 'f'),
  });
  const port = (scheme: string): number =>
    Number(new URL(rig.broker.status().listeners.find((url) => url.startsWith(scheme)) ?? '').port);
  const certified = { ca: CA_CERT, cert: CLIENT_CERT, key: CLIENT_KEY, reconnectPeriod: 0 };
  for (const url of [`mqtts://127.0.0.1:${port('mqtts')}`, `wss://127.0.0.1:${port('wss')}/`]) {
    const client = await mqtt.connectAsync(url, { ...certified, protocolVersion: 5 });
    const got = collect(client);
    await client.subscribeAsync('own/x', { qos: 1 });
    await client.publishAsync('own/x', 'mine', { qos: 1 });
    t.same(await got.until(1), ['own/x mine']);
    await t.rejects(client.publishAsync('other', 'x', { qos: 1 }), { message: /Not authorized/ });
    await client.endAsync();
  }
  const bare = connectTls({ port: port('mqtts'), host: '127.0.0.1', ca: CA_CERT });
  bare.on('error', () => {});
  await new Promise((resolve) => bare.once('close', resolve));
  t.pass('no certificate, no connection');
  await rig.stop();
});

t.test('the policy `disconnect` ends the connection of who does not keep up', async (t) => {
  const rig = await startRig(t.testdir(), {
    whenQueueFull: 'disconnect',
    maxQueuedPerClient: { messages: 5 },
  });
  const socket = await rig.socket();
  const next = reader(socket);
  socket.write(Buffer.concat([connect('slow', { properties: [[33, 1]] }), subscribe(1, [['q', 1]])]));
  await next();
  await next();
  const publisher = await rig.socket();
  publisher.write(connect('fast'));
  for (let n = 1; n <= 20; n += 1) publisher.write(publish('q', `${n}`, 1, n));
  let reason: number | undefined;
  for (let one = await next(); one !== undefined; one = await next()) {
    if (one.type === 14) reason = one.body[0];
  }
  t.equal(reason, 0x97, 'quota exceeded');
  await rig.stop();
});

t.test('the access list does not bind the node itself, nor its sessions after a restart', async (t) => {
  const directory = t.testdir();
  const options = { accessList: parseAcl('topic write a\n', 'f') };
  let rig = await startRig(directory, options);
  const local = await rig.broker.connect();
  const next = reader(local);
  local.write(Buffer.concat([connect('app', { properties: [[17, 600]] }), subscribe(1, [['a', 1]])]));
  await next();
  t.same(((await next()) as Received).body.subarray(3), Buffer.from([1]));
  await rig.stop();
  rig = await startRig(directory, options);
  await (await rig.client()).publishAsync('a', 'early', { qos: 1 });
  t.equal(rig.broker.status().queuedMessages, 1);
  await rig.stop();
});

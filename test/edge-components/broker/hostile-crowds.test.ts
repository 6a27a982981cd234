/** Many hostile clients at a time: takeover storms with wills, readers that stand still, subscriptions by the thousand. */

import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import t from 'tap';
import { WebSocket } from 'ws';
import { startRig } from './broker-rig.ts';
import { ack, connect, publish, type Received, reader, subscribe } from './raw-client.ts';

const MIB = 1024 * 1024;
const FOR_EVER = [[17, 0xffffffff]] as const;

t.test('a takeover storm on a session: 0x8e for who goes, nothing lost, nothing twice', async (t) => {
  const rig = await startRig(t.testdir());
  const options = { clean: false, properties: FOR_EVER } as const;
  const first = await rig.socket();
  first.write(connect('same', options));
  first.write(subscribe(1, [['jobs', 1]]));
  const hello = reader(first);
  t.equal((await hello())?.type, 2);
  t.equal((await hello())?.type, 9);
  first.end(Buffer.from([0xe0, 0]));
  const publisher = await rig.client();
  await Promise.all(
    Array.from({ length: 40 }, (_, n) => publisher.publishAsync('jobs', String(n), { qos: 1 })),
  );
  const reasons = new Map<string, number>();
  const storm = Array.from({ length: 40 }, async (_, turn) => {
    const socket = await rig.socket();
    const next = reader(socket);
    socket.write(connect('same', { ...options, will: { topic: 'jobs', payload: `will ${turn}` } }));
    let end = 'closed';
    for (let one = await next(); one !== undefined; one = await next()) {
      if (one.type === 14) end = `0x${(one.body[0] ?? 0).toString(16)}`;
      if (one.type === 2 && one.body[1] !== 0) end = `refused 0x${(one.body[1] ?? 0).toString(16)}`;
    }
    reasons.set(end, (reasons.get(end) ?? 0) + 1);
  });
  for (let turn = 0; turn < 500 && rig.broker.status().connectedClients !== 2; turn += 1) await sleep(5);
  const last = await rig.socket();
  const next = reader(last);
  last.write(connect('same', options));
  t.same((await next())?.body.subarray(0, 2), Buffer.from([1, 0]), 'the session is there');
  await Promise.all(storm);
  t.ok((reasons.get('0x8e') ?? 0) > 0, JSON.stringify([...reasons]));
  t.same(
    [...reasons.keys()].filter((end) => end !== '0x8e' && end !== 'closed'),
    [],
  );
  await publisher.publishAsync('jobs', 'end', { qos: 1 });
  const jobs: string[] = [];
  for (let one = await next(); one !== undefined; one = await next()) {
    if (one.type !== 3) continue;
    const { payload, id } = jobIn(one);
    last.write(ack(0x40, id));
    if (payload === 'end') break;
    jobs.push(payload);
  }
  const numbers = jobs.filter((job) => !job.startsWith('will'));
  t.same(
    numbers,
    Array.from({ length: 40 }, (_, n) => String(n)),
  );
  t.equal(new Set(jobs).size, jobs.length, 'no will is spoken twice');
  t.equal(rig.broker.status().sessions, 1);
  await rig.stop();
});

function jobIn({ body }: Received): { readonly payload: string; readonly id: number } {
  const topicEnd = 2 + body.readUInt16BE(0);
  return { id: body.readUInt16BE(topicEnd), payload: body.toString('utf8', topicEnd + 3) };
}

t.test('wills that answer wills end with their connections', async (t) => {
  const rig = await startRig(t.testdir());
  const sockets = await Promise.all(Array.from({ length: 30 }, () => rig.socket()));
  for (const [at, socket] of sockets.entries()) {
    const will = { topic: `loop/${(at + 1) % 30}`, payload: 'x' };
    socket.resume();
    socket.write(connect(`ring-${at}`, { will, clean: false, properties: FOR_EVER }));
    socket.write(subscribe(1, [[`loop/${at}`, 1]]));
  }
  for (let turn = 0; turn < 500 && rig.broker.status().connectedClients < 30; turn += 1) await sleep(5);
  for (const socket of sockets) socket.destroy();
  for (let turn = 0; turn < 500 && rig.broker.status().connectedClients > 0; turn += 1) await sleep(5);
  const client = await rig.client();
  await client.publishAsync('settled', '', { qos: 1 });
  t.match(rig.broker.status(), { connectedClients: 1, sessions: 30 });
  t.ok(rig.broker.status().queuedMessages <= 30, `${rig.broker.status().queuedMessages} wills wait`);
  await rig.stop();
});

/** What is in use and not merely not yet collected. */
function heldBytes(): number {
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

t.test('readers that stand still cost a bounded amount of memory and nobody else', async (t) => {
  const rig = await startRig(t.testdir(), {
    maxBufferedPerClient: MIB,
    maxQueuedPerClient: { messages: 50, bytes: MIB },
  });
  const deaf = await Promise.all(Array.from({ length: 10 }, () => rig.socket()));
  for (const [at, socket] of deaf.entries()) {
    socket.write(connect(`deaf-${at}`, { clean: false, properties: FOR_EVER }));
    socket.write(subscribe(1, [['flood', at % 2]]));
    await once(socket, 'data');
    socket.pause();
  }
  const before = heldBytes();
  const publisher = await rig.client();
  const payload = Buffer.alloc(100_000, 'x');
  for (let round = 0; round < 60; round += 1)
    await Promise.all(Array.from({ length: 5 }, () => publisher.publishAsync('flood', payload, { qos: 1 })));
  const grown = (heldBytes() - before) / MIB;
  // 300 MB were offered to them together; the sockets of the test itself are in this process as well.
  t.ok(grown < 60, `${grown.toFixed(0)} MiB more`);
  t.ok((rig.counts['queue-full'] ?? 0) + (rig.counts['slow-client'] ?? 0) > 0, JSON.stringify(rig.counts));
  t.ok(rig.broker.status().queuedMessages <= 5 * 50 + 5 * 64);
  for (const socket of deaf) socket.destroy();
  await rig.stop();
});

t.test('who does not keep up is told 0x97 when the policy says so', async (t) => {
  const rig = await startRig(t.testdir(), {
    maxQueuedPerClient: { messages: 5 },
    whenQueueFull: 'disconnect',
    maxInflightPerClient: 2,
  });
  const socket = await rig.socket();
  const next = reader(socket);
  socket.write(connect('slow', { properties: FOR_EVER }));
  socket.write(subscribe(1, [['a', 1]]));
  await next();
  await next();
  for (let n = 1; n <= 40; n += 1) {
    const publisher = await rig.client();
    await publisher.publishAsync('a', String(n), { qos: 1 });
    if (rig.broker.status().connectedClients < n + 1) break;
  }
  let reason: number | undefined;
  for (let one = await next(); one !== undefined; one = await next())
    if (one.type === 14) reason = one.body[0];
  t.equal(reason, 0x97);
  await rig.stop();
});

t.test('subscriptions by the thousand from many clients', async (t) => {
  const rig = await startRig(t.testdir(), { maxSubscriptionsPerClient: 1000 });
  const sockets = await Promise.all(Array.from({ length: 10 }, () => rig.socket()));
  const answers = sockets.map(async (socket, client) => {
    const next = reader(socket);
    socket.write(connect(`crowd-${client}`));
    const filters = Array.from(
      { length: 1200 },
      (_, n) => [`${'+/'.repeat(n % 7)}${client}/${n}/#`, 0] as const,
    );
    socket.write(subscribe(1, filters));
    await next();
    const codes = (await next())?.body.subarray(3) ?? Buffer.alloc(0);
    return codes.filter((code) => code === 0x97).length;
  });
  t.same(
    await Promise.all(answers),
    Array.from({ length: 10 }, () => 200),
    'what is too much gets 0x97',
  );
  const publisher = await rig.socket();
  const next = reader(publisher);
  const started = process.cpuUsage();
  publisher.write(connect('publisher'));
  for (let n = 0; n < 300; n += 1) publisher.write(publish(`a/b/c/${n % 10}/${n}/x`, 'x', 1, n + 1));
  await next();
  for (let n = 0; n < 300; n += 1) await next();
  const { user } = process.cpuUsage(started);
  t.ok(user < 2_000_000, `300 topics against 10,000 filters took ${user} microseconds`);
  await rig.stop();
});

t.test('a frame of text ends a WebSocket ([MQTT-6.0.0-1]), and so does one that is too large', async (t) => {
  const rig = await startRig(t.testdir(), {
    ws: { host: '127.0.0.1', port: 0 },
    maxPacketBytes: 10_000,
  });
  const url = rig.broker.status().listeners.find((one) => one.startsWith('ws:')) ?? '';
  for (const [data, binary] of [
    [connect('text'), false],
    [Buffer.alloc(100_000, 0x10), true],
  ] as const) {
    const socket = new WebSocket(url, 'mqtt');
    socket.on('error', () => {});
    await once(socket, 'open');
    let heard = 0;
    socket.on('message', () => {
      heard += 1;
    });
    socket.send(data, { binary });
    await once(socket, 'close');
    t.equal(heard, 0, 'no CONNACK');
  }
  t.equal(rig.broker.status().connectedClients, 0);
  await rig.stop();
});

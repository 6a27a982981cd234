// Two relays behind a TCP balancer, with their registry in PostgreSQL: calls from one to the other, one of them killed, nodes
// revoked at the other relay, the database away and back. The cloud runs Skerry, or a real daprd (SKERRY_TEST_DAPRD).

import { createServer, connect as dial, type Socket } from 'node:net';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import Database from 'better-sqlite3';
import t, { type Test } from 'tap';
import { unaryCall } from '../support/grpc-harness.ts';
import { startPostgres, withoutPostgres } from '../support/postgres.ts';
import { chat, clientOf, ECHO, startEchoApp } from './support/echo-app.ts';
import { call } from './support/http-call.ts';
import { nodesDirectory, type RunningNode, runToEnd, startSidecar } from './support/node-process.ts';
import { program } from './support/package-folder.ts';
import { freePort } from './support/ports.ts';
import { realProgram } from './support/real-dapr.ts';
import {
  aloneConfiguration,
  enrolledFolder,
  type RelayProcess,
  startRelay,
} from './support/relay-process.ts';
import { startApp } from './support/scripted-app.ts';
import { until } from './support/until.ts';

const LOOPBACK = '--dapr-internal-grpc-listen-address=127.0.0.1';
const { path: DAPRD, missing: withoutDaprd } = realProgram('SKERRY_TEST_DAPRD', 'daprd');

interface Balancer {
  readonly url: string;
  /** New connections try these ports, in this order. */
  order(...ports: readonly number[]): void;
}

async function startBalancer(t: Test): Promise<Balancer> {
  let order: readonly number[] = [];
  const sockets = new Set<Socket>();
  const join = (near: Socket, [port, ...others]: readonly number[]): void => {
    if (port === undefined) return void near.destroy();
    const far = dial(port, '127.0.0.1');
    let joined = false;
    far.on('error', () => {});
    far.once('connect', () => {
      joined = true;
      near.pipe(far).pipe(near);
    });
    far.once('close', () => (joined ? near.destroy() : join(near, others)));
    near.once('close', () => far.destroy());
  };
  const server = createServer((near) => {
    sockets.add(near);
    near.on('error', () => {});
    near.once('close', () => sockets.delete(near));
    join(near, order);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  return {
    url: `https://127.0.0.1:${port}`,
    order: (...ports) => {
      order = ports;
    },
  };
}

const invoke = (from: RunningNode, id: string, path = 'x', options: Parameters<typeof call>[1] = {}) =>
  call(`${from.base}/v1.0/invoke/${id}/method/${path}`, options);

async function twoRelays(t: Test, executable: string | undefined): Promise<void> {
  const tag = `${process.pid}${executable === undefined ? 's' : 'd'}`;
  const ids = { door: `rdoor-${tag}`, lamp: `rlamp-${tag}`, rpc: `rrpc-${tag}`, asker: `rask-${tag}` };
  const names = join(nodesDirectory(t), `names-cloud-${tag}.db`);
  const nameResolution = { component: 'sqlite', configuration: { connectionString: names } };
  const cloudNames = aloneConfiguration(t, `cloud-${tag}`, { nameResolution });
  const [database, balancer, internal] = await Promise.all([startPostgres(t), startBalancer(t), freePort()]);
  const env = { SKERRY_RELAY_REGISTRY: database.url };
  const one = await startRelay(t, {
    args: [
      '--internal-address=127.0.0.1',
      `--internal-port=${internal}`,
      aloneConfiguration(t, `relay-one-${tag}`),
    ],
    env,
  });

  await t.test('a relay with another authority is refused', async (t) => {
    const other = await runToEnd(
      t,
      program('skerry'),
      ['relay', '--listen=127.0.0.1:0', '--metrics-port=0', `--data-dir=${join(nodesDirectory(t), 'other')}`],
      { env: { ...process.env, ...env } },
    );
    t.equal(other.code, 1);
    t.match(
      other.output,
      /the registry belongs to relays with the authority [0-9a-f]{64}, .*the same --ca-cert and --ca-key/,
    );
    t.notMatch(other.output, database.password);
  });

  const ca = (name: string): string => join(one.dataDir, name);
  const two = await startRelay(t, {
    args: [
      '--internal-address=127.0.0.1',
      `--ca-cert=${ca('relay-ca.pem')}`,
      `--ca-key=${ca('relay-ca-key.pem')}`,
      aloneConfiguration(t, `relay-two-${tag}`),
    ],
    env,
  });
  balancer.order(one.port, two.port);

  const site = async (name: string, appPort: number, at: RelayProcess, args: readonly string[] = []) => {
    balancer.order(at.port, at === one ? two.port : one.port);
    // The token is from the first relay, whichever one the node enrols at.
    const dataDir = await enrolledFolder(t, one, name, [name], balancer.url);
    const node = await startSidecar(t, {
      appId: name,
      appPort,
      dataDir,
      args: [LOOPBACK, aloneConfiguration(t, name), ...args],
    });
    await until(`the link of ${name}`, () => linkedAt(name, at));
    return node;
  };
  /** Only the relay that has the link knows the last contact of a node that is up. */
  const linkedAt = async (name: string, at: RelayProcess): Promise<boolean> =>
    (await at.nodes()).some(
      (view) => view.node === name && view.state === 'up' && view.lastContact !== undefined,
    );
  const [door, lamp, rpc] = await Promise.all([
    startApp(t, { '/x': () => ({ body: 'door' }) }),
    startApp(t, { '/x': ({ body }) => ({ body: body.length === 0 ? 'lamp' : body }) }),
    startEchoApp(t),
  ]);
  const edgeDoor = await site(ids.door, door.port, one);
  const edgeLamp = await site(ids.lamp, lamp.port, two);
  await site(ids.rpc, rpc.port, two, ['--app-protocol=grpc']);
  balancer.order(one.port, two.port);

  // The cloud knows the first relay alone.
  const cloud = await startSidecar(t, {
    ...(executable === undefined ? {} : { executable }),
    appId: ids.asker,
    args: [LOOPBACK, cloudNames],
  });
  const file = new Database(names);
  t.teardown(() => file.close());
  // That table has one row for an address.
  for (const [appId, host] of [
    [ids.lamp, '127.0.0.1'],
    [ids.rpc, 'localhost'],
  ])
    file
      .prepare(
        'REPLACE INTO hosts (registration_id, address, app_id, namespace, last_update) VALUES (?, ?, ?, ?, ?)',
      )
      .run(`far-${appId}`, `${host}:${internal}`, appId, executable === undefined ? '' : 'default', 2 ** 40);

  await t.test('calls reach nodes at the other relay', async (t) => {
    await until('the lamp', async () => (await invoke(cloud, ids.lamp)).text === 'lamp');
    t.equal(lamp.to('/x').at(-1)?.headers['dapr-caller-app-id'], ids.asker);
    const BIG = Array.from({ length: 32 }, (_, n) => Buffer.alloc(64 * 1024, n));
    const streamed = await invoke(cloud, ids.lamp, 'x', { body: BIG });
    t.ok(streamed.bytes.equals(Buffer.concat(BIG)), '2 MiB in chunks come back the same');
    t.equal((await invoke(edgeLamp, ids.door)).text, 'door', 'from site to site, second relay to first');
    t.equal((await invoke(edgeDoor, ids.lamp)).text, 'lamp', 'and first to second');
    t.equal(lamp.to('/x').at(-1)?.headers['dapr-caller-app-id'], ids.door);
    const client = clientOf(t, cloud);
    const said = await unaryCall(client, ECHO, Buffer.from('hello'), {
      metadata: { 'dapr-app-id': ids.rpc },
    });
    t.same([said.code, String(said.message)], [0, 'hello']);
    t.equal(rpc.callers.at(-1), ids.asker, 'the app hears of the true caller');
    t.same(await chat(client, ids.rpc, ['a', 'b']), ['a', 'a', 'b', 'b'], 'a stream, message by message');
    const nobody = await invoke(edgeDoor, `nobody-${tag}`);
    t.match(JSON.parse(nobody.text), { errorCode: 'ERR_DIRECT_INVOKE' });
  });

  await t.test('each relay and the registry itself tell of all nodes', async (t) => {
    const listed = await runToEnd(t, program('skerry'), ['mesh', 'ls', '--json'], {
      env: { ...process.env, ...env },
    });
    const views = JSON.parse(listed.output) as { node: string; state: string; relay: string }[];
    const relays = new Map(views.map(({ node, relay }) => [node, relay]));
    t.same(
      views.map(({ state }) => state),
      ['up', 'up', 'up'],
    );
    t.equal(relays.get(ids.lamp), relays.get(ids.rpc));
    t.not(relays.get(ids.lamp), relays.get(ids.door));
    t.same(
      (await two.nodes()).map(({ node, state }) => [node, state]),
      views.map(({ node }) => [node, 'up']),
    );
    t.match((await one.command('mesh', 'ls')).output, /APP IDS +NOT ANNOUNCED +RELAY +REASON/);
    const services = await runToEnd(t, program('skerry'), ['relay', 'services', '--namespace=shop'], {
      env: { ...process.env, ...env },
    });
    const { items } = JSON.parse(services.output) as { items: { metadata: { name: string } }[] };
    t.same(
      items.map(({ metadata }) => metadata.name),
      [ids.door, ids.lamp, ids.rpc].toSorted().map((id) => `${id}-dapr`),
    );
    const password = await runToEnd(t, program('skerry'), ['mesh', 'ls', `--registry=${database.url}`]);
    t.match(password.output, /--registry holds a password/);
    t.notMatch(password.output, database.password);
  });

  await t.test('the database is away and comes back', async (t) => {
    await database.stop();
    await until('the relays to say so', () =>
      [one, two].every((relay) => relay.output().includes('the registry cannot be reached')),
    );
    t.equal((await invoke(edgeLamp, ids.door)).text, 'door', 'calls go on');
    t.equal((await invoke(cloud, ids.lamp)).text, 'lamp');
    const token = await runToEnd(t, program('skerry'), [
      'relay',
      'token',
      '--app-ids=late',
      `--data-dir=${one.dataDir}`,
    ]);
    t.same([token.code, /the registry cannot be reached/.test(token.output)], [1, true]);
    await database.start();
    await until('the relays to go on', () =>
      [one, two].every((relay) => relay.output().includes('the registry answers again')),
    );
    t.ok(await one.token(['late']), 'nodes are taken again');
    t.equal((await invoke(cloud, ids.lamp)).text, 'lamp');
    t.notMatch(one.output() + two.output(), database.password);
  });

  await t.test('a relay is killed, and its nodes come back at the other', async (t) => {
    balancer.order(two.port, one.port);
    await two.stop('SIGKILL');
    await until('the lamp', async () => (await invoke(edgeDoor, ids.lamp)).text === 'lamp');
    await until('the rpc app', () => linkedAt(ids.rpc, one));
    t.equal((await invoke(cloud, ids.lamp)).text, 'lamp', 'the cloud finds it there');
    await until('both links to be told', async () =>
      (
        await database.query(
          'SELECT count(DISTINCT relay)::int AS relays, count(*)::int AS links FROM skerry_relay_link',
        )
      ).every(({ relays, links }) => relays === 1 && links === 3),
    );
  });

  await t.test('revoking at another relay closes the link within about a second', async (t) => {
    const three = await startRelay(t, {
      args: [
        '--internal-address=127.0.0.1',
        `--ca-cert=${ca('relay-ca.pem')}`,
        `--ca-key=${ca('relay-ca-key.pem')}`,
        aloneConfiguration(t, `three-${tag}`),
      ],
      env,
    });
    t.match((await three.command('relay', 'revoke', ids.lamp)).output, /is revoked/);
    const begun = performance.now();
    await until('the node to hear why', () => edgeLamp.output().includes('the node is revoked'));
    t.comment(`closed ${(performance.now() - begun).toFixed(0)} ms after the command`);
    t.equal((await invoke(cloud, ids.lamp)).status, 500);
    await until('the relay to refuse it', () => one.output().includes(`the node ${ids.lamp} is revoked`));
    t.equal((await three.stop()).code, 0);
    t.equal((await one.stop()).code, 0);
    t.same(await database.query('SELECT node FROM skerry_relay_link'), [], 'who ends takes its links along');
  });
}

t.setTimeout(120_000);
t.test('the cloud runs Skerry', { skip: withoutPostgres }, (t) => twoRelays(t, undefined));
t.test('the cloud runs daprd', { skip: withoutPostgres || withoutDaprd }, (t) => twoRelays(t, DAPRD));

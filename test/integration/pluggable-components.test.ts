// Components in a process of their own, found by their socket: all four kinds over HTTP and gRPC, and a restart of that
// process under a running sidecar.

import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CommunicationProtocolEnum, DaprClient } from '@dapr/dapr';
import t, { type Test } from 'tap';
import { call } from './support/http-call.ts';
import { type RunningNode, startProcess, startSidecar } from './support/node-process.ts';
import { component } from './support/resource-files.ts';
import { type ScriptedApp, startApp } from './support/scripted-app.ts';
import { until } from './support/until.ts';

const program = join(import.meta.dirname, 'support/pluggable-process.ts');
const resources = [
  component('vault', 'secretstores.Gadgets', {}),
  component(
    'store',
    'state.gadgets',
    { password: { secretKeyRef: { name: 'password', key: 'password' } }, keyPrefix: 'none' },
    { secretStore: 'vault' },
  ),
  component('bus', 'pubsub.gadgets', {}),
  component('io', 'bindings.gadgets', { direction: 'input, output' }),
];

async function overHttp(t: Test, node: RunningNode, app: ScriptedApp): Promise<void> {
  const at = (path: string, options = {}) => call(`${node.base}/v1.0${path}`, options);
  t.match(JSON.parse((await at('/metadata')).text), {
    components: [
      { name: 'vault', type: 'secretstores.Gadgets', capabilities: ['MULTIPLE_KEY_VALUES_PER_SECRET'] },
      { name: 'store', type: 'state.gadgets', capabilities: ['ETAG', 'TRANSACTIONAL', 'ACTOR'] },
      { name: 'bus', type: 'pubsub.gadgets', capabilities: ['BULK_PUBSUB'] },
      { name: 'io', type: 'bindings.gadgets', capabilities: ['INPUT_BINDING', 'OUTPUT_BINDING'] },
    ],
  });
  const items = await at(`/secrets/vault/${encodeURIComponent('items StateStore store')}`);
  t.same(JSON.parse(items.text), { password: 'password!', keyPrefix: 'none' }, 'a secret of one for another');
  t.equal((await at('/secrets/vault/missing')).status, 500);

  t.equal((await at('/state/store', { body: [{ key: 'a', value: { n: 1 } }] })).status, 204);
  const got = await at('/state/store/a');
  t.same([got.status, got.text, got.headers.etag], [200, '{"n":1}', '1']);
  const conflict = await at('/state/store', { body: [{ key: 'a', value: 2, etag: '7' }] });
  t.match(
    [conflict.status, JSON.parse(conflict.text).message],
    [409, /possible etag mismatch.*another version/],
  );
  const upserts = ['b', 'c', 'd', 'e'].map((key) => ({ operation: 'upsert', request: { key, value: key } }));
  const many = await at('/state/store/transaction', { body: { operations: upserts } });
  t.equal(JSON.parse(many.text).errorCode, 'ERR_STATE_STORE_TOO_MANY_TRANSACTIONS');
  const few = await at('/state/store/transaction', { body: { operations: upserts.slice(0, 2) } });
  t.equal(few.status, 204);
  const bulk = await at('/state/store/bulk', { body: { keys: ['a', 'c'] } });
  t.match(JSON.parse(bulk.text), [
    { key: 'a', data: { n: 1 } },
    { key: 'c', data: 'c' },
  ]);
  const query = await call(`${node.base}/v1.0-alpha1/state/store/query`, {
    body: { filter: { EQ: { n: 1 } } },
  });
  t.match(JSON.parse(query.text), { results: [{ key: 'a', data: { n: 1 }, etag: '1' }], token: 'more' });

  t.equal((await at('/publish/bus/orders', { body: { order: 1 } })).status, 204);
  await app.received('/orders');
  const invoked = await at('/bindings/io', {
    body: { operation: 'create', data: 'x', metadata: { colour: 'red' } },
  });
  t.same([invoked.status, invoked.text, invoked.headers['metadata.seen']], [200, 'create "x"', 'red']);
  t.equal((await at('/bindings/io', { body: { operation: 'emit', data: { e: 1 } } })).status, 200);
  const [event] = await app.received('/io');
  t.match([String(event?.body), event?.headers['kind']], ['{"e":1}', 'emitted']);
}

async function overGrpc(t: Test, node: RunningNode, app: ScriptedApp): Promise<void> {
  const client = new DaprClient({
    daprHost: '127.0.0.1',
    daprPort: String(node.ports.grpc),
    communicationProtocol: CommunicationProtocolEnum.GRPC,
  });
  t.teardown(() => client.stop());
  await client.state.save('store', [
    { key: 'g', value: 'one' },
    { key: 'h', value: 'two' },
  ]);
  t.equal(await client.state.get('store', 'g'), 'one');
  await client.state.delete('store', 'g');
  t.equal(await client.state.get('store', 'g'), '');
  t.same(await client.secret.get('vault', 'token'), { token: 'token!' });
  await client.pubsub.publish('bus', 'orders', { order: 2 });
  const orders = await app.received('/orders', 2);
  t.match(JSON.parse(String(orders[1]?.body)), { data: { order: 2 }, topic: 'orders' });
  await client.binding.send('io', 'emit', { e: 2 });
  t.equal(String((await app.received('/io', 2))[1]?.body), '{"e":2}');
}

t.test('a component process, over both APIs, killed and started again', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'skerry-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const socket = join(folder, 'gadgets.sock');
  const startComponent = () => startProcess(t, process.execPath, [program, socket]);
  const first = startComponent();
  const app = await startApp(t, {
    '/dapr/subscribe': () => ({ body: [{ pubsubname: 'bus', topic: 'orders', route: '/orders' }] }),
    '/orders': () => ({}),
    '/io': () => ({}),
  });
  await until('the socket', () => existsSync(socket));
  const node = await startSidecar(t, {
    appId: 'orders',
    appPort: app.port,
    resources,
    env: { DAPR_COMPONENTS_SOCKETS_FOLDER: folder },
  });
  await overHttp(t, node, app);
  await overGrpc(t, node, app);

  first.child.kill('SIGKILL');
  await first.ended;
  const read = () => call(`${node.base}/v1.0/state/store/h`);
  const away = await read();
  t.match([away.status, JSON.parse(away.text).message], [500, /rpc error: code = Unavailable/]);
  startComponent();
  await until('the new process', async () => (await read()).status === 204);
  const items = await call(`${node.base}/v1.0/secrets/vault/${encodeURIComponent('items StateStore store')}`);
  t.equal(JSON.parse(items.text).password, 'password!', 'it was initialised as the first');
  await until('a message through the new process', async () => {
    await call(`${node.base}/v1.0/publish/bus/orders`, { body: { order: 3 } });
    return app.to('/orders').length > 2;
  });
  await until('an event through the new process', async () => {
    await call(`${node.base}/v1.0/bindings/io`, { body: { operation: 'emit', data: { e: 3 } } });
    return app.to('/io').length > 2;
  });
  const { code } = await node.stop();
  t.equal(code, 0);
});

// An edge whose components stand on another sidecar: state, topics both ways, secrets, configuration, locks and app ids of
// the cloud, through an outage and a restart in the dark. The cloud is a second Skerry node, and a real daprd where
// SKERRY_TEST_DAPRD names one (which has no configuration and lock stores without a server of their own).

import t, { type Test } from 'tap';
import { call } from './support/http-call.ts';
import { freePorts, type Ports, type RunningNode, startSidecar } from './support/node-process.ts';
import { realProgram } from './support/real-dapr.ts';
import { component } from './support/resource-files.ts';
import { type ScriptedApp, startApp } from './support/scripted-app.ts';
import { until } from './support/until.ts';

const TOKEN = 'cloud-token';
const { path: daprd, missing: withoutDaprd } = realProgram('SKERRY_TEST_DAPRD', 'daprd');

interface Places {
  readonly cloudPorts: Ports;
  readonly cloudApp: ScriptedApp;
  readonly edgeApp: ScriptedApp;
  startCloud(): Promise<RunningNode>;
  startEdge(from?: RunningNode): Promise<RunningNode>;
}

const endpoint = (name: string, port: number, more = ''): string =>
  `apiVersion: dapr.io/v1alpha1\nkind: HTTPEndpoint\nmetadata: {name: ${name}}\nspec:\n  baseUrl: http://127.0.0.1:${port}\n${more}`;

const configuration =
  'apiVersion: dapr.io/v1alpha1\nkind: Configuration\nmetadata: {name: edge}\nspec:\n  nameResolution:\n    component: mdns\n    configuration: {fallbackEndpoint: cloud}\n';

async function places(t: Test, executable: string | undefined): Promise<Places> {
  const cloudPorts = await freePorts();
  const cloudApp = await startApp(t, { '/hello': ({ body }) => ({ body: `hello ${body}` }) });
  const edgeApp = await startApp(t, { '/down': () => ({}) });
  const ours =
    executable === undefined
      ? [
          component('settings', 'configuration.in-memory', { items: '{"pace":{"value":"5","version":"1"}}' }),
          component('locks', 'lock.in-memory', {}),
        ]
      : [];
  const onCloud = { endpointName: 'cloud' };
  const folder = t.testdir({ 'configuration.yaml': configuration });
  return {
    cloudPorts,
    cloudApp,
    edgeApp,
    startCloud: () =>
      startSidecar(t, {
        appId: `cloud-${process.pid}`,
        appPort: cloudApp.port,
        ports: cloudPorts,
        ...(executable === undefined ? {} : { executable }),
        env: { DAPR_API_TOKEN: TOKEN, CLOUD_SECRET: 'told' },
        resources: [
          component('statestore', 'state.in-memory', {}),
          component('pubsub', 'pubsub.in-memory', {}),
          component('vault', 'secretstores.local.env', {}),
          endpoint('printer', cloudApp.port),
          ...ours,
        ],
      }),
    startEdge: (from) =>
      startSidecar(t, {
        appId: 'edge',
        appPort: edgeApp.port,
        ...(from === undefined ? {} : { ports: from.ports, dataDir: from.dataDir }),
        args: [`--config=${folder}/configuration.yaml`],
        resources: [
          endpoint('cloud', cloudPorts.http, `  headers:\n  - {name: dapr-api-token, value: ${TOKEN}}\n`),
          component('statestore', 'state.dapr', onCloud),
          component('pubsub', 'pubsub.dapr', { ...onCloud, grpcAddress: `127.0.0.1:${cloudPorts.grpc}` }),
          component('vault', 'secretstores.dapr', onCloud),
          component('settings', 'configuration.dapr', onCloud),
          component('locks', 'lock.dapr', onCloud),
          'apiVersion: dapr.io/v2alpha1\nkind: Subscription\nmetadata: {name: down}\nspec: {pubsubname: pubsub, topic: orders/new, routes: {default: /down}}\n',
        ],
      }),
  };
}

async function state(t: Test, edge: RunningNode): Promise<void> {
  const save = (body: object) => call(`${edge.base}/v1.0/state/statestore`, { body });
  t.equal((await save([{ key: 'k', value: { a: 1 } }])).status, 204);
  const read = await call(`${edge.base}/v1.0/state/statestore/k`);
  t.same([read.status, read.text], [200, '{"a":1}']);
  const stale = await save([{ key: 'k', value: 2, etag: `${read.headers['etag']}0` }]);
  t.equal(stale.status, 409, 'a stale ETag is refused here as it is there');
  t.match(stale.text, /possible etag mismatch/);
  t.equal((await save([{ key: 'k', value: 2, etag: read.headers['etag'] }])).status, 204);
  const changes = {
    operations: [
      { operation: 'upsert', request: { key: 't', value: 'v' } },
      { operation: 'delete', request: { key: 'k' } },
    ],
  };
  t.equal((await call(`${edge.base}/v1.0/state/statestore/transaction`, { body: changes })).status, 204);
  const bulk = await call(`${edge.base}/v1.0/state/statestore/bulk`, { body: { keys: ['k', 't'] } });
  const found = JSON.parse(bulk.text) as readonly { key: string; data?: unknown }[];
  t.same(found.map(({ key, data }) => [key, data]).sort(), [
    ['k', undefined],
    ['t', 'v'],
  ]);
}

async function topics(t: Test, { cloudPorts, edgeApp }: Places, edge: RunningNode): Promise<void> {
  const cloudUrl = `http://127.0.0.1:${cloudPorts.http}/v1.0/publish/pubsub/orders/new`;
  let probe = 0;
  await until('the edge to be subscribed', async () => {
    await call(cloudUrl, { body: { probe: probe++ }, headers: { 'dapr-api-token': TOKEN } });
    return edgeApp.to('/down').length > 0;
  });
  const before = edgeApp.to('/down').length;
  await call(cloudUrl, { body: { n: 1 }, headers: { 'dapr-api-token': TOKEN } });
  const published = await call(`${edge.base}/v1.0/publish/pubsub/orders/new`, { body: { n: 2 } });
  t.equal(published.status, 204);
  await until('both events', () => {
    const data = (edgeApp.jsonTo('/down') as readonly { data: { n?: number } }[]).slice(before);
    return data.some((event) => event.data.n === 1) && data.some((event) => event.data.n === 2);
  });
  const up = (edgeApp.jsonTo('/down') as readonly Record<string, unknown>[]).find(
    (event) => (event['data'] as { n?: number }).n === 2,
  );
  t.match(
    up,
    { source: 'edge', pubsubname: 'pubsub', topic: 'orders/new' },
    'the envelope is the edge app’s',
  );
}

async function outage(t: Test, given: Places, cloud: RunningNode, edge: RunningNode): Promise<RunningNode> {
  await cloud.stop();
  const failed = await call(`${edge.base}/v1.0/state/statestore/t`);
  t.equal(failed.status, 500);
  t.match(failed.text, /ERR_STATE_GET.*cannot be reached/);
  const published = await call(`${edge.base}/v1.0/publish/pubsub/orders/new`, { body: { n: 3 } });
  t.equal(published.status, 204, 'a message is taken while nobody is there');
  await edge.kill();
  const dark = await given.startEdge(edge);
  const secret = await call(`${dark.base}/v1.0/secrets/vault/CLOUD_SECRET`);
  t.same(
    [secret.status, secret.text],
    [200, '{"CLOUD_SECRET":"told"}'],
    'the copy, after a start in the dark',
  );
  return dark;
}

async function cloudComponents(t: Test, executable: string | undefined): Promise<void> {
  const given = await places(t, executable);
  const cloud = await given.startCloud();
  const edge = await given.startEdge();
  await state(t, edge);
  await topics(t, given, edge);
  const secret = await call(`${edge.base}/v1.0/secrets/vault/CLOUD_SECRET`);
  t.same([secret.status, secret.text], [200, '{"CLOUD_SECRET":"told"}']);
  if (executable === undefined) await settingsAndLocks(t, edge);

  // Neither end announces `printer`: only the cloud knows what the name means.
  for (const n of [1, 2]) {
    const found = await call(`${edge.base}/v1.0/invoke/printer/method/hello?n=${n}`, { body: 'edge' });
    t.same([found.status, found.text], [200, 'hello edge'], 'a name that only the cloud knows');
  }
  t.equal(given.cloudApp.requests.at(-1)?.url, '/hello?n=2');

  const dark = await outage(t, given, cloud, edge);
  const again = await given.startCloud();
  await until('the kept message to arrive', async () => {
    const { queues } = JSON.parse((await call(`${dark.base}/v1.0/skerry/spool`)).text) as {
      queues: { pending: number; delivered: number }[];
    };
    return queues.every((queue) => queue.pending === 0) && queues.length > 0;
  });
  await dark.stop();
  await again.stop();
}

async function settingsAndLocks(t: Test, edge: RunningNode): Promise<void> {
  const settings = await call(`${edge.base}/v1.0/configuration/settings?key=pace`);
  t.match(JSON.parse(settings.text), { pace: { value: '5', version: '1' } });
  const lock = (owner: string, verb = 'lock') =>
    call(`${edge.base}/v1.0-alpha1/${verb}/locks`, {
      body: { resourceId: 'door', lockOwner: owner, expiryInSeconds: 60 },
    });
  t.same(JSON.parse((await lock('a')).text), { success: true });
  t.same(JSON.parse((await lock('b')).text), { success: false });
  t.same(JSON.parse((await lock('b', 'unlock')).text), { status: 2 });
  t.same(JSON.parse((await lock('a', 'unlock')).text), { status: 0 });
}

t.test('a Skerry node plays the cloud', (t) => cloudComponents(t, undefined));

t.test('a real daprd plays the cloud', { skip: withoutDaprd }, (t) => cloudComponents(t, daprd));

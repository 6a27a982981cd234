// Sync between an edge and a cloud: topics up and down, state up, state both ways with a conflict during an outage, and a
// power cut of the edge in between. The cloud is a second Skerry node, and a real daprd where SKERRY_TEST_DAPRD names one.

import { isDeepStrictEqual } from 'node:util';
import t, { type Test } from 'tap';
import { call } from './support/http-call.ts';
import { freePorts, type Ports, type RunningNode, runToEnd, startSidecar } from './support/node-process.ts';
import { program } from './support/package-folder.ts';
import { realProgram } from './support/real-dapr.ts';
import { component, subscription } from './support/resource-files.ts';
import { type ScriptedApp, startApp } from './support/scripted-app.ts';
import { until } from './support/until.ts';

const TOKEN = 'cloud-token';
const { path: daprd, missing: withoutDaprd } = realProgram('SKERRY_TEST_DAPRD', 'daprd');

interface Flow {
  readonly name: string;
  readonly link: string;
  readonly reason?: string;
  readonly conflicts: number;
  readonly lag: { readonly messages: number; readonly bytes: number; readonly seconds: number };
  readonly messagesToday: { readonly up: number; readonly down: number };
  readonly bytesToday: { readonly up: number; readonly down: number };
  readonly lastContact?: string;
}

const sync = (spec: object): string =>
  JSON.stringify({ apiVersion: 'skerry.dev/v1alpha1', kind: 'Sync', metadata: { name: 'plant' }, spec });

const endpoint = (port: number): string =>
  JSON.stringify({
    apiVersion: 'dapr.io/v1alpha1',
    kind: 'HTTPEndpoint',
    metadata: { name: 'cloud' },
    spec: {
      baseUrl: `http://127.0.0.1:${port}`,
      headers: [{ name: 'dapr-api-token', value: TOKEN }],
    },
  });

const SPEC = {
  direction: 'up',
  conflictTopic: { pubsub: 'local', topic: 'conflicts' },
  topics: [
    { local: { pubsub: 'local', topic: 'readings' }, remote: { pubsub: 'pubsub', topic: 'plant/readings' } },
    {
      name: 'commands',
      direction: 'down',
      local: { pubsub: 'local', topic: 'commands' },
      remote: { pubsub: 'pubsub', topic: 'plant/commands' },
    },
    {
      name: 'chat',
      direction: 'both',
      local: { pubsub: 'local', topic: 'chat' },
      remote: { pubsub: 'pubsub', topic: 'plant/chat' },
    },
  ],
  state: [
    {
      name: 'sensors',
      local: 'statestore',
      remote: 'cloudstore',
      keyPrefixes: [{ local: 'sensor-', remote: 'plant-' }],
    },
    {
      name: 'settings',
      direction: 'both',
      conflict: 'merge',
      pollInterval: '300ms',
      local: 'statestore',
      remote: 'cloudstore',
      keys: ['settings'],
    },
    {
      name: 'mode',
      direction: 'both',
      conflict: 'last-write',
      pollInterval: '300ms',
      local: 'statestore',
      remote: 'cloudstore',
      keys: ['mode'],
    },
  ],
};

interface Cloud {
  readonly ports: Ports;
  readonly app: ScriptedApp;
  start(): Promise<RunningNode>;
}

async function cloudOf(t: Test, executable: string | undefined): Promise<Cloud> {
  const ports = await freePorts();
  const app = await startApp(t, { '/readings': () => ({}), '/chat': () => ({}) });
  const directory = t.testdir();
  const file = `${directory}/cloud.db`;
  return {
    ports,
    app,
    start: () =>
      startSidecar(t, {
        appId: 'cloud',
        appPort: app.port,
        ports,
        ...(executable === undefined ? {} : { executable }),
        env: { DAPR_API_TOKEN: TOKEN },
        resources: [
          component('cloudstore', 'state.sqlite', { connectionString: file }),
          component('pubsub', 'pubsub.in-memory', {}),
          subscription('readings', 'pubsub', 'plant/readings', '/readings'),
          subscription('chat', 'pubsub', 'plant/chat', '/chat'),
        ],
      }),
  };
}

const withToken = { 'dapr-api-token': TOKEN };
const put = (base: string, store: string, key: string, value: unknown, headers = {}) =>
  call(`${base}/v1.0/state/${store}`, { body: [{ key, value }], headers });
const get = async (base: string, store: string, key: string, headers = {}): Promise<unknown> => {
  const { text } = await call(`${base}/v1.0/state/${store}/${key}`, { headers });
  return text === '' ? undefined : JSON.parse(text);
};
const same = (a: unknown, b: unknown): boolean => isDeepStrictEqual(a, b);
const flowsOf = async (node: RunningNode): Promise<ReadonlyMap<string, Flow>> => {
  const { flows } = JSON.parse((await call(`${node.base}/v1.0/skerry/sync`)).text) as { flows: Flow[] };
  return new Map(flows.map((flow) => [flow.name, flow]));
};

async function story(t: Test, executable: string | undefined): Promise<void> {
  const cloud = await cloudOf(t, executable);
  const edgeApp = await startApp(t, {
    '/commands': () => ({}),
    '/conflicts': () => ({}),
    '/chat': () => ({}),
  });
  const startEdge = (from?: RunningNode): Promise<RunningNode> =>
    startSidecar(t, {
      appId: 'edge',
      appPort: edgeApp.port,
      ...(from === undefined ? {} : { ports: from.ports, dataDir: from.dataDir }),
      resources: [
        endpoint(cloud.ports.http),
        component('statestore', 'state.sqlite', {}),
        component('local', 'pubsub.mqtt3', { url: 'embedded:' }),
        component('cloudstore', 'state.dapr', { endpointName: 'cloud' }),
        component('pubsub', 'pubsub.dapr', {
          endpointName: 'cloud',
          grpcAddress: `127.0.0.1:${cloud.ports.grpc}`,
        }),
        subscription('commands', 'local', 'commands', '/commands'),
        subscription('conflicts', 'local', 'conflicts', '/conflicts'),
        subscription('chat', 'local', 'chat', '/chat'),
        sync(SPEC),
      ],
    });
  const cloudNode = await cloud.start();
  const far = `http://127.0.0.1:${cloud.ports.http}`;
  const edge = await startEdge();
  const publish = (base: string, pubsub: string, topic: string, data: object, headers = {}) =>
    call(`${base}/v1.0/publish/${pubsub}/${topic}`, { body: data, headers });

  // Up: an event of the edge app reaches the cloud app with the id it had.
  t.equal((await publish(edge.base, 'local', 'readings', { c: 21 })).status, 204);
  await cloud.app.received('/readings');
  t.match(cloud.app.jsonTo('/readings')[0], { data: { c: 21 }, source: 'edge', topic: 'plant/readings' });

  // Down: by the cloud sidecar's stream.
  await until('the command', async () => {
    await publish(far, 'pubsub', 'plant/commands', { open: true }, withToken);
    return edgeApp.to('/commands').length > 0;
  });
  t.match(edgeApp.jsonTo('/commands')[0], { data: { open: true }, pubsubname: 'local', topic: 'commands' });

  // Both ways, without an echo.
  await publish(edge.base, 'local', 'chat', { from: 'edge' });
  await publish(far, 'pubsub', 'plant/chat', { from: 'cloud' }, withToken);
  const said = (app: ScriptedApp, from: string): number =>
    (app.jsonTo('/chat') as { data: { from: string } }[]).filter(({ data }) => data.from === from).length;
  await until('the chat on both sides', () => said(cloud.app, 'edge') > 0 && said(edgeApp, 'cloud') > 0);

  // State up, under another name; with what is deleted.
  await put(edge.base, 'statestore', 'sensor-1', { c: 21 });
  await put(edge.base, 'statestore', 'sensor-2', { c: 22 });
  await put(edge.base, 'statestore', 'private', 1);
  await until('the sensors in the cloud', async () =>
    same(await get(far, 'cloudstore', 'plant-2', withToken), { c: 22 }),
  );
  t.same(await get(far, 'cloudstore', 'plant-1', withToken), { c: 21 });
  t.equal(await get(far, 'cloudstore', 'private', withToken), undefined, 'what no flow covers stays here');
  await call(`${edge.base}/v1.0/state/statestore/sensor-2`, { method: 'DELETE' });
  await until('the deletion', async () => (await get(far, 'cloudstore', 'plant-2', withToken)) === undefined);

  // State both ways.
  await put(far, 'cloudstore', 'settings', { pace: 5, name: 'a' }, withToken);
  await until('the settings here', async () =>
    same(await get(edge.base, 'statestore', 'settings'), { pace: 5, name: 'a' }),
  );
  await put(edge.base, 'statestore', 'mode', 'day');
  await until('the mode there', async () => (await get(far, 'cloudstore', 'mode', withToken)) === 'day');
  t.equal((await flowsOf(edge)).get('plant/mode')?.conflicts, 0);

  // An outage: both sides go on.
  await cloudNode.kill();
  await put(edge.base, 'statestore', 'settings', { pace: 6, name: 'a' });
  await put(edge.base, 'statestore', 'mode', 'edge');
  await put(edge.base, 'statestore', 'sensor-1', { c: 30 });
  await publish(edge.base, 'local', 'readings', { c: 30 });
  await until('the link to be seen as down', async () => {
    const flows = await flowsOf(edge);
    const [sensors, readings] = [flows.get('plant/sensors'), flows.get('plant/local/readings')];
    return sensors?.link === 'down' && sensors.lag.messages === 1 && readings?.link === 'down';
  });
  const down = await flowsOf(edge);
  t.match(down.get('plant/sensors')?.reason, /cannot be reached/);
  t.match(down.get('plant/commands'), { link: 'down', reason: /./ }, 'the stream is seen to be cut');
  const shown = await runToEnd(t, program('skerry'), [
    'sync',
    'status',
    '--dapr-http-port',
    String(edge.ports.http),
  ]);
  t.match(shown.output, /^FLOW +WAY +LINK +LAG.*\n/);
  t.match(shown.output, /^plant\/sensors +up +down +1 \(.*cannot be reached/m);
  t.ok((down.get('plant/sensors')?.lag.bytes ?? 0) > 0);
  t.equal(down.get('plant/local/readings')?.lag.messages, 1);
  await edge.kill();

  const again = await cloud.start();
  await put(far, 'cloudstore', 'settings', { pace: 5, name: 'b' }, withToken);
  await put(far, 'cloudstore', 'mode', 'cloud', withToken);
  const revived = await startEdge(edge);
  await until('the merge on both sides', async () =>
    same(await get(far, 'cloudstore', 'settings', withToken), { name: 'b', pace: 6 }),
  );
  t.same(await get(revived.base, 'statestore', 'settings'), { pace: 6, name: 'b' });
  await until('one mode on both sides', async () => {
    const [here, there] = [
      await get(revived.base, 'statestore', 'mode'),
      await get(far, 'cloudstore', 'mode', withToken),
    ];
    return here === there;
  });
  await until('the reading of the outage', async () => {
    const data = (cloud.app.jsonTo('/readings') as { data: { c: number } }[]).map((event) => event.data.c);
    return data.includes(30);
  });
  await until('the state of the outage', async () =>
    same(await get(far, 'cloudstore', 'plant-1', withToken), { c: 30 }),
  );
  const [conflict] = (await edgeApp.received('/conflicts')).map(
    ({ body }) => JSON.parse(body.toString()) as { type: string; data: Record<string, unknown> },
  );
  t.match(conflict, {
    type: 'dev.skerry.sync.conflict',
    data: { key: 'mode', rule: 'last-write', local: 'edge', remote: 'cloud' },
  });
  const flows = await flowsOf(revived);
  t.equal(flows.get('plant/mode')?.conflicts, 1);
  t.equal(flows.get('plant/settings')?.conflicts, 0, 'fields that only one side changed are no conflict');
  t.equal(flows.get('plant/sensors')?.link, 'up');
  t.equal(said(edgeApp, 'edge'), 1, 'no echo of what the edge said');
  t.equal(said(cloud.app, 'cloud'), 1, 'nor of what the cloud said');
  await revived.stop();
  await again.stop();
}

t.test('a Skerry node plays the cloud', (t) => story(t, undefined));

t.test('a real daprd plays the cloud', { skip: withoutDaprd }, (t) => story(t, daprd));

t.test('a Sync that cannot work is refused with its field, and --validate says the same', async (t) => {
  const folder = t.testdir({
    'near.yaml': component('near', 'state.sqlite', {}),
    'sync.yaml': sync({
      direction: 'both',
      conflict: 'ask',
      state: [{ local: 'near', remote: 'nowhere', keys: ['k'] }],
    }),
    'other.yaml': JSON.stringify({
      apiVersion: 'skerry.dev/v1alpha1',
      kind: 'Sync',
      metadata: { name: 'other' },
      spec: { direction: 'up', state: [{ local: 'near', remote: 'nowhere', keys: ['k'] }] },
    }),
  });
  const args = ['--app-id=edge', `--resources-path=${folder}`, '--dapr-http-port=0', '--dapr-grpc-port=0'];
  const validated = await runToEnd(t, program('daprd'), [...args, '--validate']);
  t.equal(validated.code, 1);
  t.match(validated.output, /spec\.state\.0\.conflict: Sync plant: ask needs a topic to ask on/);
  t.match(
    validated.output,
    /spec\.state\.0\.remote: Sync other: there is no state store nowhere for this app/,
  );
  const started = await runToEnd(t, program('daprd'), [...args, `--data-dir=${folder}/data`]);
  t.equal(started.code, 1);
  t.match(started.output, /spec\.state\.0\.remote: Sync other: there is no state store nowhere/);
});

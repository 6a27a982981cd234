// The official Dapr JavaScript SDK, unmodified, over HTTP and over gRPC on both sides: what it promises its users works.

import { CommunicationProtocolEnum, DaprClient, DaprServer, HttpMethod } from '@dapr/dapr';
import t, { type Test } from 'tap';
import { freePorts, startSidecar } from './support/node-process.ts';
import { freePort } from './support/ports.ts';
import { component } from './support/resource-files.ts';
import { until } from './support/until.ts';

const resources = [
  component('statestore', 'state.sqlite', { connectionString: 'skerry:system' }),
  component('pubsub', 'pubsub.mqtt3', { url: 'embedded:' }),
  component('reports', 'bindings.mqtt3', { url: 'embedded:', topic: 'reports', consumerID: 'reports' }),
  component('env', 'secretstores.local.env', {}),
];

/** The SDK logs what it also throws. */
const nothing = (): void => {};
const SILENT = { error: nothing, warn: nothing, info: nothing, verbose: nothing, debug: nothing };

interface Heard {
  readonly events: unknown[];
  readonly bulk: unknown[];
  readonly reports: unknown[];
}

/** Registers what the app of this test listens to. */
async function listen(server: DaprServer, heard: Heard): Promise<void> {
  await server.pubsub.subscribe('pubsub', 'orders', async (data: unknown) => void heard.events.push(data));
  await server.pubsub.subscribe('pubsub', 'many', async (data: unknown) => void heard.bulk.push(data));
  await server.binding.receive('reports', async (data: unknown) => void heard.reports.push(data));
  await server.invoker.listen('double', async ({ body }) => ({ twice: 2 * JSON.parse(String(body)).n }), {
    method: HttpMethod.POST,
  });
}

async function state(t: Test, client: DaprClient): Promise<void> {
  await client.state.save('statestore', [
    { key: 'one', value: { n: 1 } },
    { key: 'two', value: 'text' },
  ]);
  t.same(await client.state.get('statestore', 'one'), { n: 1 });
  t.equal(await client.state.get('statestore', 'two'), 'text');
  const bulk = await client.state.getBulk('statestore', ['one', 'two']);
  t.same(bulk.map(({ key, data }) => [key, data]).sort(), [
    ['one', { n: 1 }],
    ['two', 'text'],
  ]);
  await client.state.transaction('statestore', [
    { operation: 'upsert', request: { key: 'three', value: '3' } },
    { operation: 'delete', request: { key: 'one' } },
  ]);
  t.equal(String(await client.state.get('statestore', 'three')), '3');
  t.notOk(await client.state.get('statestore', 'one'), 'deleted');
  await client.state.delete('statestore', 'two');
  t.notOk(await client.state.get('statestore', 'two'));
  const missing = await client.state
    .save('nowhere', [{ key: 'a', value: 1 }])
    .catch((error: unknown) => ({ error }));
  t.ok(missing?.error, 'a store that is not there is an error');
}

async function messages(t: Test, client: DaprClient, heard: Heard): Promise<void> {
  const published = await client.pubsub.publish('pubsub', 'orders', { order: 1 });
  t.notOk(published.error);
  await client.pubsub.publish('pubsub', 'orders', 'plain text');
  await until('both events', () => heard.events.length >= 2);
  t.same(heard.events, [{ order: 1 }, 'plain text']);
  const bulk = await client.pubsub.publishBulk('pubsub', 'many', [{ n: 1 }, { n: 2 }, { n: 3 }]);
  t.same(bulk.failedMessages, []);
  await until('three events', () => heard.bulk.length >= 3);
  t.same(heard.bulk.map((data) => (data as { n: number }).n).sort(), [1, 2, 3]);
  await client.binding.send('reports', 'create', { report: 'all is well' });
  await until('the report', () => heard.reports.length >= 1);
  t.same(heard.reports[0], { report: 'all is well' }, 'an output binding comes round as an input binding');
}

async function story(t: Test, protocol: CommunicationProtocolEnum): Promise<void> {
  const isHttp = protocol === CommunicationProtocolEnum.HTTP;
  const [ports, appPort] = [await freePorts(), await freePort()];
  const clientOptions = {
    daprHost: '127.0.0.1',
    daprPort: String(isHttp ? ports.http : ports.grpc),
    communicationProtocol: protocol,
    logger: { service: SILENT },
  };
  const server = new DaprServer({
    serverHost: '127.0.0.1',
    serverPort: String(appPort),
    communicationProtocol: protocol,
    clientOptions,
    logger: { service: SILENT },
  });
  const heard: Heard = { events: [], bulk: [], reports: [] };
  await listen(server, heard);
  const [node] = await Promise.all([
    startSidecar(t, {
      appId: 'sdk-app',
      appPort,
      ports,
      resources,
      env: { SDK_SECRET: 'shh' },
      args: [`--app-protocol=${isHttp ? 'http' : 'grpc'}`],
    }),
    server.start(),
  ]);
  t.teardown(() => server.stop());
  const client = new DaprClient(clientOptions);
  t.teardown(() => client.stop());

  await state(t, client);
  await messages(t, client, heard);
  t.same(await client.invoker.invoke('sdk-app', 'double', HttpMethod.POST, { n: 21 }), { twice: 42 });
  t.same(await client.secret.get('env', 'SDK_SECRET'), { SDK_SECRET: 'shh' });
  t.equal((await client.metadata.get()).id, 'sdk-app');
  t.equal(await client.health.isHealthy(), true);
  t.equal((await node.stop()).code, 0);
}

t.test('over HTTP', (t) => story(t, CommunicationProtocolEnum.HTTP));

t.test('over gRPC', (t) => story(t, CommunicationProtocolEnum.GRPC));

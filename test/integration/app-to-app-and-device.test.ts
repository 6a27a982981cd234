// Two apps on one node (`skerry up`): they reach a device and each other through the node's own broker, and call each
// other by app id.

import { join } from 'node:path';
import t from 'tap';
import { call } from './support/http-call.ts';
import { collect, connectDevice } from './support/mqtt-device.ts';
import { freePorts, healthy, startProcess } from './support/node-process.ts';
import { program } from './support/package-folder.ts';
import { component, writeFiles } from './support/resource-files.ts';
import { type AppRequest, startApp } from './support/scripted-app.ts';
import { until } from './support/until.ts';

const event = (request: AppRequest | undefined): Record<string, unknown> =>
  JSON.parse(String(request?.body ?? 'null'));

t.test('publish to a device, to the other app, and invoke', async (t) => {
  const directory = t.testdir();
  const control = await startApp(t, {
    '/dapr/subscribe': () => ({ body: [{ pubsubname: 'pubsub', topic: 'orders', route: '/orders' }] }),
    '/orders': () => ({}),
    '/hello': ({ body }) => ({ status: 201, body: `control heard ${body}` }),
  });
  const planner = await startApp(t, {
    '/dapr/subscribe': () => ({ body: [{ pubsubname: 'pubsub', topic: 'done', route: '/done' }] }),
    '/done': () => ({}),
  });
  const [controlPorts, plannerPorts] = [await freePorts(), await freePorts()];
  const resources = writeFiles(directory, 'resources', {
    'pubsub.yaml': component('pubsub', 'pubsub.mqtt3', { url: 'embedded:' }),
  });
  const app = (appID: string, ports: typeof controlPorts, appPort: number): object => ({
    appID,
    appPort,
    daprHTTPPort: ports.http,
    daprGRPCPort: ports.grpc,
    metricsPort: ports.metrics,
  });
  writeFiles(directory, '.', {
    'gateway.yaml': JSON.stringify({
      version: 1,
      common: { resourcesPath: resources },
      apps: [app('control', controlPorts, control.port), app('planner', plannerPorts, planner.port)],
    }),
  });
  const { child, ended, output } = startProcess(t, program('skerry'), [
    'up',
    '-f',
    join(directory, 'gateway.yaml'),
    '--mqtt-port',
    String(controlPorts.mqtt),
    '--data-dir',
    join(directory, 'data'),
  ]);
  const [controlBase, plannerBase] = [controlPorts, plannerPorts].map(
    ({ http }) => `http://127.0.0.1:${http}`,
  );
  for (const base of [controlBase, plannerBase]) await healthy({ base: String(base), ended, output });

  const valve = await connectDevice(t, `mqtt://127.0.0.1:${controlPorts.mqtt}`, { clientId: 'valve' });
  const commands = await collect(valve, 'devices/valve/set');
  const sent = await call(`${controlBase}/v1.0/publish/pubsub/devices/valve/set?metadata.rawPayload=true`, {
    body: { open: true },
  });
  t.equal(sent.status, 204, sent.text);
  await until('the command', () => commands.length > 0);
  t.same(commands, [['devices/valve/set', '{"open":true}']], 'a raw payload reaches the device as it is');

  t.equal((await call(`${plannerBase}/v1.0/publish/pubsub/orders`, { body: { order: 7 } })).status, 204);
  const [order] = await control.received('/orders');
  t.match(event(order), {
    source: 'planner',
    topic: 'orders',
    pubsubname: 'pubsub',
    data: { order: 7 },
    datacontenttype: 'application/json',
  });
  t.equal((await call(`${controlBase}/v1.0/publish/pubsub/done`, { body: { order: 7 } })).status, 204);
  const [done] = await planner.received('/done');
  t.match(event(done), { source: 'control', data: { order: 7 } });
  t.same(
    [control.to('/done').length, planner.to('/orders').length],
    [0, 0],
    'each app hears only what it asked for',
  );

  const answer = await call(`${plannerBase}/v1.0/invoke/control/method/hello`, {
    body: 'hi',
    headers: { 'content-type': 'text/plain' },
  });
  t.same([answer.status, answer.text], [201, 'control heard hi']);

  child.kill('SIGTERM');
  t.equal((await ended).code, 0);
});

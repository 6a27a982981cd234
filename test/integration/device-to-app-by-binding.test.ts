// A device publishes over MQTT, the app gets it as an input binding and answers with what to store and where to send it.
// The broker's PUBACK means kept: a power cut before the app took the message does not lose it.

import t from 'tap';
import { call } from './support/http-call.ts';
import { collect, connectDevice } from './support/mqtt-device.ts';
import { startSidecar } from './support/node-process.ts';
import { component } from './support/resource-files.ts';
import { startApp } from './support/scripted-app.ts';
import { until } from './support/until.ts';

const meter = component('meter', 'bindings.mqtt3', {
  url: 'embedded:',
  topic: 'devices/meter/+',
  consumerID: 'meter',
});
const valve = component('valve', 'bindings.mqtt3', {
  url: 'embedded:',
  topic: 'devices/valve/set',
  consumerID: 'valve',
  direction: 'output',
});
const store = component('statestore', 'state.sqlite', { connectionString: 'skerry:system' });

t.test('the reply stores state and calls another binding', async (t) => {
  const app = await startApp(t, {
    '/meter': (request) =>
      request.method === 'OPTIONS'
        ? {}
        : {
            body: {
              storeName: 'statestore',
              state: [{ key: 'meter-last', value: JSON.parse(request.body.toString()) }],
              to: ['valve'],
              data: { open: false },
            },
          },
  });
  const node = await startSidecar(t, {
    appId: 'meters',
    appPort: app.port,
    resources: [meter, valve, store],
  });
  const device = await connectDevice(t, node.mqttUrl, { clientId: 'valve-device' });
  const commands = await collect(device, 'devices/valve/set');

  await device.publishAsync('devices/meter/watts', '{"watts":3100}', { qos: 1 });
  await until('the command to the valve', () => commands.length > 0);
  t.same(commands, [['devices/valve/set', '{"open":false}']]);
  const [, delivered] = await app.received('/meter', 2);
  t.equal(delivered?.method, 'POST');
  t.equal(delivered?.headers['topic'], 'devices/meter/watts', 'metadata arrives as headers');
  t.equal(delivered?.body.toString(), '{"watts":3100}');
  const state = await call(`${node.base}/v1.0/state/statestore/meter-last`);
  t.equal(state.text, '{"watts":3100}');
  t.equal((await node.stop()).code, 0);
});

t.test('what the broker acknowledged survives a power cut before the app took it', async (t) => {
  let seen = 0;
  const app = await startApp(t, {
    '/meter': (request) => {
      if (request.method === 'OPTIONS') return {};
      seen += 1;
      return new Promise(() => {});
    },
  });
  const request = { appId: 'meters', appPort: app.port, resources: [meter, store] };
  const node = await startSidecar(t, request);
  const device = await connectDevice(t, node.mqttUrl, { clientId: 'meter-device' });
  for (let n = 1; n <= 5; n += 1) await device.publishAsync('devices/meter/watts', String(n), { qos: 1 });
  await until('the app to be busy', () => seen > 0);
  await node.kill();

  const taken: string[] = [];
  app.on('/meter', (request) => {
    if (request.method === 'POST') taken.push(request.body.toString());
    return {};
  });
  const again = await startSidecar(t, { ...request, ports: node.ports, dataDir: node.dataDir });
  await until('all messages', () => new Set(taken).size === 5);
  t.same([...new Set(taken)], ['1', '2', '3', '4', '5'], 'all of them, in order');
  t.equal((await again.stop()).code, 0);
});

t.test('an app that does not want the binding is left alone; output goes to any topic', async (t) => {
  const app = await startApp(t, { '/meter': () => ({ status: 404 }) });
  const node = await startSidecar(t, { appId: 'meters', appPort: app.port, resources: [meter, valve] });
  const device = await connectDevice(t, node.mqttUrl);
  const commands = await collect(device, 'devices/#');
  const sent = await call(`${node.base}/v1.0/bindings/valve`, {
    body: { operation: 'create', data: { open: true }, metadata: { topic: 'devices/valve-7/set' } },
  });
  t.equal(sent.status, 204, sent.text);
  await until('the command', () => commands.length > 0);
  t.same(commands, [['devices/valve-7/set', '{"open":true}']]);
  await device.publishAsync('devices/meter/x', '1', { qos: 1 });
  await until('it to come round', () => commands.length > 1);
  t.same(
    app.to('/meter').map((request) => request.method),
    ['OPTIONS'],
  );
});

// A device publishes over MQTT, the app hears of it through the pub/sub API: asked for with /dapr/subscribe or with a
// Subscription resource, with QoS 0 and 1, as a CloudEvent or as it is.

import t from 'tap';
import { connectDevice } from './support/mqtt-device.ts';
import { startSidecar } from './support/node-process.ts';
import { component, subscription } from './support/resource-files.ts';
import { type AppRequest, startApp } from './support/scripted-app.ts';

const json = (request: AppRequest | undefined): Record<string, unknown> =>
  JSON.parse(String(request?.body ?? 'null'));

t.test('an app that asks with /dapr/subscribe', async (t) => {
  const app = await startApp(t, {
    '/dapr/subscribe': () => ({
      body: [
        {
          pubsubname: 'pubsub',
          topic: 'devices/+/temperature',
          route: '/temperature',
          metadata: { rawPayload: 'true' },
        },
        { pubsubname: 'pubsub', topic: 'devices/door/#', routes: { default: '/door' } },
      ],
    }),
    '/temperature': () => ({ body: { status: 'SUCCESS' } }),
    '/door': () => ({}),
  });
  const node = await startSidecar(t, {
    appId: 'reader',
    appPort: app.port,
    resources: [component('pubsub', 'pubsub.mqtt3', { url: 'embedded:' })],
  });
  const device = await connectDevice(t, node.mqttUrl, { clientId: 'thermometer-1' });

  await device.publishAsync('devices/t1/temperature', '{"celsius":21.5}', { qos: 1 });
  await device.publishAsync('devices/t2/temperature', Buffer.from([0xff, 0x00, 0x7f]), { qos: 0 });
  const [first, second] = await app.received('/temperature', 2);
  t.match(
    json(first),
    {
      specversion: '1.0',
      topic: 'devices/t1/temperature',
      pubsubname: 'pubsub',
      datacontenttype: 'application/octet-stream',
      data_base64: Buffer.from('{"celsius":21.5}').toString('base64'),
    },
    'raw payload: the bytes travel in data_base64',
  );
  t.equal(first?.headers['content-type'], 'application/cloudevents+json');
  t.equal(json(second)['data_base64'], '/wB/', 'bytes that are no text arrive as they were');

  const event = {
    specversion: '1.0',
    id: 'e-1',
    source: 'door',
    type: 'moved',
    datacontenttype: 'application/json',
    data: { open: true },
  };
  await device.publishAsync('devices/door/front', JSON.stringify(event), { qos: 1 });
  const [door] = await app.received('/door');
  t.match(json(door), event, 'a CloudEvent passes through unchanged');
  t.equal((await node.stop()).code, 0);
});

t.test('an app that is subscribed by a resource, and answers RETRY first', async (t) => {
  let answers = 0;
  const app = await startApp(t, {
    '/dapr/subscribe': () => ({ body: [] }),
    '/readings': () => {
      answers += 1;
      return { body: { status: answers === 1 ? 'RETRY' : 'SUCCESS' } };
    },
  });
  const node = await startSidecar(t, {
    appId: 'reader',
    appPort: app.port,
    resources: [
      component('pubsub', 'pubsub.mqtt3', { url: 'embedded:' }),
      subscription('readings', 'pubsub', 'devices/#', '/readings', { rawPayload: 'true' }),
    ],
  });
  const device = await connectDevice(t, node.mqttUrl);
  await device.publishAsync('devices/meter/watts', '815', { qos: 1 });
  const [refused, taken] = await app.received('/readings', 2);
  t.equal(json(refused)['data_base64'], json(taken)['data_base64'], 'a refused message is offered again');
  t.equal(json(taken)['data_base64'], Buffer.from('815').toString('base64'));
  t.match((await node.stop()).code, 0);
});

t.test('a device message waits for an app that is away', async (t) => {
  const routes = {
    '/dapr/subscribe': () => ({
      body: [{ pubsubname: 'pubsub', topic: 'devices/#', route: '/all', metadata: { rawPayload: 'true' } }],
    }),
    '/all': () => ({}),
  };
  const app = await startApp(t, routes);
  const request = {
    appId: 'reader',
    appPort: app.port,
    resources: [component('pubsub', 'pubsub.mqtt3', { url: 'embedded:' })],
  };
  const first = await startSidecar(t, request);
  const device = await connectDevice(t, first.mqttUrl, { clientId: 'door' });
  await device.publishAsync('devices/door/1', 'a', { qos: 1 });
  await app.received('/all', 1);
  let waiting = 0;
  app.on('/all', () => {
    waiting += 1;
    return { status: 500 };
  });
  await device.publishAsync('devices/door/2', 'b', { qos: 1 });
  await app.received('/all', 2);
  t.ok(waiting >= 1, 'the app failed to take it');
  await first.kill();

  app.on('/all', () => ({}));
  await startSidecar(t, { ...request, ports: first.ports, dataDir: first.dataDir });
  const all = await app.received('/all', 2 + waiting);
  t.equal(json(all.at(-1))['topic'], 'devices/door/2', 'after the power cut it is delivered again');
});

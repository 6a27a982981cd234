/** The official Dapr JavaScript SDK, unmodified, as client and as app server, over the protocol that PROTOCOL names. */

import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { CommunicationProtocolEnum, DaprClient, HttpMethod, StateConcurrencyEnum } from '@dapr/dapr';
import { createApp, type Heard, SILENT } from './app.ts';
import { check, done, failure, until } from './checks.ts';

const { PROTOCOL, APP_PORT = '', DAPR_HTTP_PORT = '', DAPR_GRPC_PORT = '' } = process.env;
const isHttp = PROTOCOL === 'http';
const protocol = isHttp ? CommunicationProtocolEnum.HTTP : CommunicationProtocolEnum.GRPC;
const heard: Heard = {
  events: [],
  many: [],
  bulk: [],
  routed: [],
  retried: [],
  dead: [],
  raw: [],
  reports: [],
  ticks: 0,
};
const server = await createApp(protocol, APP_PORT, heard, isHttp);
await Promise.all([server.start(), once(process.stdin, 'data')]);
const client = new DaprClient({
  daprHost: '127.0.0.1',
  daprPort: isHttp ? DAPR_HTTP_PORT : DAPR_GRPC_PORT,
  communicationProtocol: protocol,
  logger: SILENT,
});
const { state, pubsub, binding, invoker, secret, configuration, lock, crypto, metadata } = client;
const STORE = 'statestore';

await check('state: save, get, delete', async () => {
  await state.save(STORE, [
    { key: 'one', value: { n: 1, text: 'grüße' } },
    { key: 'two', value: 'text' },
  ]);
  deepEqual(await state.get(STORE, 'one'), { n: 1, text: 'grüße' });
  equal(await state.get(STORE, 'two'), 'text');
  await state.delete(STORE, 'two');
  ok(!(await state.get(STORE, 'two')), 'still there');
  ok(!(await state.get(STORE, 'never')), 'something where nothing was saved');
});

await check('state: bulk get', async () => {
  const items = Array.from({ length: 20 }, (_, n) => ({ key: `bulk-${n}`, value: { n } }));
  await state.save(STORE, items);
  const found = await state.getBulk(STORE, [...items.map(({ key }) => key), 'never'], { parallelism: 4 });
  const data = Object.fromEntries(found.map((item) => [item['key'], item['data']]));
  for (const { key, value } of items) deepEqual(data[key], value);
  ok(!data['never']);
});

await check('state: etag', async () => {
  await state.save(STORE, [{ key: 'tagged', value: 'a' }]);
  const tag = async (): Promise<string> => (await state.getBulk(STORE, ['tagged']))[0]?.['etag'];
  const first = await tag();
  ok(first, 'no etag');
  const options = { concurrency: StateConcurrencyEnum.CONCURRENCY_FIRST_WRITE } as never;
  await state.save(STORE, [{ key: 'tagged', value: 'b', etag: first, options }]);
  match((await failure(state.save(STORE, [{ key: 'tagged', value: 'c', etag: first }]))).message, /etag/i);
  await failure(state.delete(STORE, 'tagged', { etag: first }));
  equal(await state.get(STORE, 'tagged'), 'b');
  await state.delete(STORE, 'tagged', { etag: await tag() });
  ok(!(await state.get(STORE, 'tagged')), 'still there');
});

await check('state: time to live', async () => {
  await state.save(STORE, [{ key: 'brief', value: 'here', metadata: { ttlInSeconds: '1' } }]);
  equal(await state.get(STORE, 'brief'), 'here');
  await until(async () => !(await state.get(STORE, 'brief')));
});

await check('state: transaction', async () => {
  await state.save(STORE, [{ key: 'old', value: 'x' }]);
  await state.transaction(STORE, [
    { operation: 'upsert', request: { key: 'new', value: '3' } },
    { operation: 'delete', request: { key: 'old' } },
  ]);
  equal(String(await state.get(STORE, 'new')), '3');
  ok(!(await state.get(STORE, 'old')), 'not deleted');
});

await check('state: errors', async () => {
  match((await failure(state.save('nowhere', [{ key: 'a', value: 1 }]))).message, /nowhere/);
  match((await failure(state.get('nowhere', 'a'))).message, /nowhere/);
});

await check('publish and subscribe', async () => {
  for (const data of [{ order: 1 }, 'plain text']) {
    const { error } = await pubsub.publish('pubsub', 'orders', data);
    if (error) throw error;
  }
  await until(() => heard.events.length >= 2);
  ok(heard.events.some((data) => data === 'plain text'));
  ok(heard.events.some((data) => (data as { order?: number }).order === 1));
  match((await failure(pubsub.publish('nowhere', 'orders', { order: 2 }))).message, /nowhere/);
});

await check('publish a cloud event', async () => {
  heard.events.length = 0;
  const event = { specversion: '1.0', id: 'e-1', source: 'sdk', type: 'own', data: { order: 7 } };
  const { error } = await pubsub.publish(
    'pubsub',
    'orders',
    { ...event, datacontenttype: 'application/json' },
    { contentType: 'application/cloudevents+json' },
  );
  if (error) throw error;
  await until(() => heard.events.length >= 1);
  deepEqual(heard.events, [{ order: 7 }]);
});

await check('publish and subscribe raw', async () => {
  const { error } = await pubsub.publish(
    'pubsub',
    'raw',
    { celsius: 21 },
    { metadata: { rawPayload: 'true' } },
  );
  if (error) throw error;
  const [data] = await until(() => heard.raw.length > 0 && heard.raw);
  ok(JSON.stringify(data).includes('celsius') || Buffer.from(String(data), 'base64').includes('celsius'));
});

await check('publish in bulk', async () => {
  const events = Array.from({ length: 10 }, (_, n) => ({ n }));
  deepEqual((await pubsub.publishBulk('pubsub', 'many', events)).failedMessages, []);
  await until(() => heard.many.length >= 10);
  deepEqual(heard.many.map((data) => (data as { n: number }).n).sort(), [...events.keys()]);
});

if (isHttp) {
  await check('subscribe in bulk', async () => {
    await pubsub.publishBulk('pubsub', 'bulk', [{ n: 1 }, { n: 2 }, { n: 3 }]);
    await until(() => heard.bulk.length >= 3);
    deepEqual(heard.bulk.map((data) => (data as { n: number }).n).sort(), [1, 2, 3]);
  });
}

await check('subscribe with rules', async () => {
  const event = (id: string, type: string): object => ({
    specversion: '1.0',
    id,
    source: 'sdk',
    type,
    datacontenttype: 'application/json',
    data: { id },
  });
  const options = { contentType: 'application/cloudevents+json' };
  await pubsub.publish('pubsub', 'routed', event('b', 'big'), options);
  await pubsub.publish('pubsub', 'routed', event('s', 'other'), options);
  await until(() => heard.routed.length >= 2);
  deepEqual(heard.routed.toSorted(), [
    ['big', { id: 'b' }],
    ['small', { id: 's' }],
  ]);
});

await check('retry and dead letter', async () => {
  await pubsub.publish('pubsub', 'retried', { again: true });
  await pubsub.publish('pubsub', 'dropped', { lost: false });
  await until(() => heard.retried.length >= 3);
  await until(() => heard.dead.length >= 1);
  deepEqual(heard.dead[0], { lost: false });
});

await check('invoke', async () => {
  deepEqual(await invoker.invoke('sdk-app', 'double', HttpMethod.POST, { n: 21 }), { twice: 42 });
  deepEqual(await invoker.invoke('sdk-app', 'hello', HttpMethod.GET), { hello: 'there' });
  await failure(invoker.invoke('sdk-app', 'not-there', HttpMethod.POST, { n: 1 }));
});

await check('bindings: output', async () => {
  await binding.send('files', 'create', { a: 1 }, { fileName: `js-${PROTOCOL}.json` });
  const read = await binding.send('files', 'get', '', { fileName: `js-${PROTOCOL}.json` });
  const text = isHttp ? JSON.stringify(read) : Buffer.from((read as { data: Uint8Array }).data).toString();
  equal(text, '{"a":1}');
  match((await failure(binding.send('nowhere', 'create', 'a'))).message, /nowhere/);
});

await check('bindings: input', async () => {
  await until(() => heard.ticks > 0);
});

await check(
  'bindings: output comes back as input',
  async () => {
    await binding.send('reports', 'create', { report: 'all is well' });
    await until(() => heard.reports.length > 0);
    deepEqual(heard.reports[0], { report: 'all is well' });
  },
  'mqtt',
);

await check('secrets', async () => {
  deepEqual(await secret.get('env-secrets', 'SDK_SECRET'), { SDK_SECRET: 'shh' });
  deepEqual(await secret.get('file-secrets', 'nested:key'), { 'nested:key': 'deep' });
  const all = JSON.stringify(await secret.getBulk('file-secrets'));
  ok(all.includes('deep') && all.includes('flat'), all);
  match((await failure(secret.get('nowhere', 'a'))).message, /nowhere/);
});

if (!isHttp) {
  await check(
    'configuration: get and subscribe',
    async () => {
      const { items } = await configuration.get('config', ['limit']);
      equal(items['limit']?.value, '10');
      const seen = new Set<string>();
      const stream = await configuration.subscribeWithKeys(
        'config',
        ['ticker'],
        async ({ items: changed }) => {
          for (const { value } of Object.values(changed)) seen.add(value);
        },
      );
      await until(() => seen.size >= 2);
      stream.stop();
    },
    'configuration',
  );

  for (const [keyName, keyWrapAlgorithm] of [
    ['rsa.pem', 'RSA'],
    ['aes.key', 'AES'],
  ] as const) {
    await check(`cryptography: ${keyWrapAlgorithm}`, async () => {
      const options = { componentName: 'crypto', keyName, keyWrapAlgorithm };
      for (const plain of [Buffer.from('hello'), randomBytes(300_000)]) {
        const sealed = await crypto.encrypt(plain, options);
        ok(!sealed.includes(plain));
        ok(plain.equals(await crypto.decrypt(sealed, { componentName: 'crypto' })));
      }
    });
  }

  await check('cryptography: streams', async () => {
    const plain = randomBytes(1_000_000);
    const pass = async (stream: NodeJS.ReadWriteStream, data: Buffer): Promise<Buffer> => {
      for (let at = 0; at < data.length; at += 10_000) stream.write(data.subarray(at, at + 10_000));
      stream.end();
      const parts: Buffer[] = [];
      for await (const part of stream) parts.push(Buffer.from(part as Uint8Array));
      return Buffer.concat(parts);
    };
    const sealed = await pass(
      await crypto.encrypt({
        componentName: 'crypto',
        keyName: 'rsa.pem',
        keyWrapAlgorithm: 'RSA',
        dataEncryptionCipher: 'chacha20-poly1305',
      }),
      plain,
    );
    ok(
      plain.equals(await pass(await crypto.decrypt({ componentName: 'crypto', keyName: 'rsa.pem' }), sealed)),
    );
    await failure(crypto.encrypt('a', { componentName: 'crypto', keyName: 'none', keyWrapAlgorithm: 'RSA' }));
  });
}

await check(
  'lock',
  async () => {
    equal((await lock.lock('locks', 'door', 'me', 30)).success, true);
    equal((await lock.lock('locks', 'door', 'you', 30)).success, false);
    equal((await lock.unlock('locks', 'door', 'you')).status, 2);
    equal((await lock.unlock('locks', 'door', 'me')).status, 0);
    equal((await lock.unlock('locks', 'door', 'me')).status, 1);
  },
  'lock',
);

await check('metadata and health', async () => {
  equal((await metadata.get()).id, 'sdk-app');
  ok((await metadata.get()).components.some(({ name }) => name === STORE));
  await metadata.set('colour', 'blue');
  ok(JSON.stringify((await metadata.get()).extended).includes('blue'));
  equal(await client.health.isHealthy(), true);
});

done();
await client.stop();
await server.stop();
process.exit(0);

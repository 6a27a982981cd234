/** The official JavaScript SDK over gRPC against the service with blocks in memory. */

import { CommunicationProtocolEnum, DaprClient, HttpMethod } from '@dapr/dapr';
import t from 'tap';
import type { StateKeyed } from '../../../runtime/contracts/blocks.ts';
import { bytesBody } from '../../../runtime/contracts/body.ts';
import { startDapr } from '../../support/fake-blocks.ts';

interface Test {
  teardown(run: () => unknown): void;
}

async function client(t: Test, blocks: Parameters<typeof startDapr>[1]): Promise<DaprClient> {
  const { port } = await startDapr(t, {
    metadata: {
      get: () => ({
        id: 'app1',
        runtimeVersion: '1.18.3',
        enabledFeatures: [],
        extended: {},
        httpEndpoints: [],
        resiliencies: [],
        components: [],
        subscriptions: [],
        appConnection: { port: 0, protocol: '', channelAddress: '', maxConcurrency: 0 },
        actorRuntime: { status: 'DISABLED', hostReady: false, placement: '' },
        schedulerAddresses: [],
      }),
    },
    ...blocks,
  });
  const sdk = new DaprClient({
    daprHost: '127.0.0.1',
    daprPort: String(port),
    communicationProtocol: CommunicationProtocolEnum.GRPC,
  });
  t.teardown(() => sdk.stop());
  return sdk;
}

t.test('state', async (t) => {
  const kept = new Map<string, Uint8Array>();
  const sdk = await client(t, {
    state: {
      requireStore: () => {},
      get: async (_store, key) => {
        const value = kept.get(key);
        return value === undefined ? undefined : { value, etag: '1', metadata: {} };
      },
      save: async (_store, items) => {
        for (const { key, value } of items) kept.set(key, value.bytes);
      },
      delete: async (_store, { key }: StateKeyed) => void kept.delete(key),
      transact: async (_store, operations) => {
        for (const { operation, item } of operations)
          if (operation === 'upsert') kept.set(item.key, item.value.bytes);
      },
    },
  });
  await sdk.state.save('s', [{ key: 'a', value: { n: 1 } }]);
  t.same(await sdk.state.get('s', 'a'), { n: 1 });
  await sdk.state.transaction('s', [{ operation: 'upsert', request: { key: 'b', value: 'text' } }]);
  t.equal(await sdk.state.get('s', 'b'), 'text');
  await sdk.state.delete('s', 'a');
  t.equal(await sdk.state.get('s', 'a'), '');
});

t.test('publish, bindings, secrets, invoke, metadata', async (t) => {
  const seen: unknown[] = [];
  const sdk = await client(t, {
    publish: {
      publish: async ({ topic, data, contentType }) =>
        void seen.push([topic, Buffer.from(data).toString(), contentType]),
    },
    bindings: {
      invoke: async (name, { operation }) => ({ data: Buffer.from(JSON.stringify({ name, operation })) }),
    },
    secrets: { get: async (_store, key) => ({ [key]: 'shh' }) },
    invoke: {
      invoke: async ({ id }, request) => {
        seen.push([id, request.method, request.verb]);
        return {
          status: 200,
          grpc: false,
          headers: [],
          contentType: 'application/json',
          body: bytesBody(Buffer.from('{"ok":true}')),
        };
      },
    },
  });
  t.equal((await sdk.pubsub.publish('p', 't', { n: 1 })).error, undefined);
  t.match(JSON.stringify(await sdk.binding.send('b', 'create', 'x')), /create/);
  t.match(await sdk.secret.get('s', 'k'), { k: 'shh' });
  t.same(await sdk.invoker.invoke('app2', 'm', HttpMethod.POST, { a: 1 }), { ok: true });
  t.match(await sdk.metadata.get(), { id: 'app1' });
  t.match(seen, [
    ['t', '{"n":1}', 'application/json'],
    ['app2', 'm', 'POST'],
  ]);
});

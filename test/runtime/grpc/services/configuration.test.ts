import t from 'tap';
import type { ConfigurationItems } from '../../../../runtime/contracts/configuration-store.ts';
import { runtimeError } from '../../../../runtime/contracts/error.ts';
import {
  GetConfigurationRequestSchema,
  GetConfigurationResponseSchema,
  SubscribeConfigurationRequestSchema,
  SubscribeConfigurationResponseSchema,
  UnsubscribeConfigurationRequestSchema,
  UnsubscribeConfigurationResponseSchema,
} from '../../../../runtime/generated/dapr/proto/runtime/v1/configuration_pb.ts';
import { daprCall, daprStream } from '../../../support/dapr-calls.ts';
import { startDapr } from '../../../support/fake-blocks.ts';
import type { TestServer } from '../../../support/grpc-harness.ts';

interface Test {
  teardown(run: () => unknown): void;
}
const item = (value: string) => ({ value, version: '1', metadata: { m: value } });

async function open(t: Test) {
  const drain = new AbortController();
  const ended: string[] = [];
  const changed = Promise.withResolvers<(items: ConfigurationItems) => void>();
  const endedOnce = Promise.withResolvers<void>();
  const server = await startDapr(
    t,
    {
      configuration: {
        get: async (_store, keys) => Object.fromEntries(keys.map((key) => [key, item(`of ${key}`)])),
        subscribe: async (store, keys, _metadata, _call, tell) => {
          if (store === 'no')
            throw runtimeError('configurationSubscribe', { keys: keys.join(' '), store, error: 'e' });
          changed.resolve(tell as (items: ConfigurationItems) => void);
          return `id of ${keys.join('+')}`;
        },
        unsubscribe: async (_store, id) => {
          if (id === 'http') return undefined;
          if (!id.startsWith('id')) return 'no such id';
          ended.push(id);
          endedOnce.resolve();
          return undefined;
        },
      },
    },
    { draining: drain.signal },
  );
  return { server, drain, ended, changed: changed.promise, endedOnce: endedOnce.promise };
}

const subscribe = (server: TestServer, keys: string[], storeName = 's') => {
  const stream = daprStream(
    server,
    'SubscribeConfiguration',
    SubscribeConfigurationRequestSchema,
    SubscribeConfigurationResponseSchema,
  );
  stream.send({ storeName, keys });
  stream.end();
  return stream;
};
const unsubscribe = (server: TestServer, id: string) =>
  daprCall(
    server,
    'UnsubscribeConfigurationAlpha1',
    UnsubscribeConfigurationRequestSchema,
    UnsubscribeConfigurationResponseSchema,
    { storeName: 's', id },
  );

t.test('get', async (t) => {
  const { server } = await open(t);
  const answer = await daprCall(
    server,
    'GetConfiguration',
    GetConfigurationRequestSchema,
    GetConfigurationResponseSchema,
    { storeName: 's', keys: ['a'] },
  );
  t.match(answer.message?.items['a'], item('of a'));
});

t.test('the id first, then the changes, until the client leaves', async (t) => {
  const { server, changed, ended, endedOnce } = await open(t);
  const stream = subscribe(server, ['b', 'a']);
  t.match(await stream.next(), { id: 'id of a+b', items: {} });
  const tell = await changed;
  tell({ a: item('1') });
  tell({ a: item('2'), b: { value: '', version: '', metadata: {} } });
  t.match(await stream.next(), { id: 'id of a+b', items: { a: { value: '1' } } });
  t.match(await stream.next(), { items: { a: { value: '2' }, b: { value: '' } } });
  stream.cancel();
  await endedOnce;
  t.same(ended, ['id of a+b']);
});

t.test('unsubscribe ends the stream; unknown ids are told', async (t) => {
  const { server, ended } = await open(t);
  const stream = subscribe(server, ['a']);
  const { id } = await stream.next();
  t.match((await unsubscribe(server, id)).message, { ok: true });
  t.same(await stream.status, { code: 0, text: '' });
  t.same(ended, [id]);
  t.match((await unsubscribe(server, 'other')).message, {
    ok: false,
    message: 'failed to unsubscribe to configuration request other: subscription does not exist',
  });
  t.match((await unsubscribe(server, 'http')).message, { ok: true }, 'one that was made over HTTP');
});

t.test('a store that refuses, and the end of the sidecar', async (t) => {
  const { server, drain } = await open(t);
  t.match(await subscribe(server, ['a'], 'no').status, {
    code: 3,
    text: 'failed to subscribe [a] from Configuration store no: e',
  });
  const stream = subscribe(server, ['a']);
  await stream.next();
  drain.abort();
  t.same(await stream.status, { code: 0, text: '' });
});

/** Configuration and locks over HTTP and over gRPC (HTTP reference 13 and 14, gRPC reference 2.5). */

import t from 'tap';
import { definition as configurationInMemory } from '../../edge-components/configuration/in-memory/component.ts';
import { ConfigurationInMemory } from '../../edge-components/configuration/in-memory/configuration-in-memory.ts';
import { definition as lockInMemory } from '../../edge-components/lock/in-memory/component.ts';
import type { LoadedComponent } from '../../runtime/contracts/component-source.ts';
import {
  SubscribeConfigurationRequestSchema,
  SubscribeConfigurationResponseSchema,
} from '../../runtime/generated/dapr/proto/runtime/v1/configuration_pb.ts';
import { loaded } from '../support/block-rig.ts';
import { daprStream } from '../support/dapr-calls.ts';
import { DONE, FOUND, failure, type ParityCase, runCases } from './support/cases.ts';
import { configurationRequests, itemsOf, lockRequests } from './support/configuration-lock-requests.ts';
import { startParity } from './support/rig.ts';

const A = { value: '1', version: 'v7', metadata: { by: 'me' } };
const B = { value: '2', version: '', metadata: {} };
const ITEMS = JSON.stringify({ a: A, b: '2' });

const gone = async () => Promise.reject(new Error('the bus is gone'));
let locks: LoadedComponent<'lock'> | undefined;
const rig = await startParity(t, {
  components: ({ make }) => {
    locks = make(lockInMemory, 'locks');
    return [
      locks,
      make(configurationInMemory, 'config', { items: ITEMS }),
      loaded('configuration', 'broken', { get: gone, subscribe: gone }),
      loaded('lock', 'broken', { tryLock: gone, unlock: gone }),
      loaded('lock', 'odd', { tryLock: async () => false, unlock: async () => 'internal-error' }),
    ];
  },
  app: {
    deliverConfiguration: async () => {},
  },
});
const reset = async (): Promise<void> => {
  await locks?.instance.close();
  rig.restartIds();
};
const { get, subscribe, unsubscribe } = configurationRequests(rig);
const { tryLock, unlock } = lockRequests(rig);

const unknownConfiguration = failure(
  [400, 'ERR_CONFIGURATION_STORE_NOT_FOUND'],
  ['InvalidArgument', 'ERR_CONFIGURATION_STORE_NOT_FOUND'],
  'configuration store nope not found',
);

const configuration: readonly ParityCase[] = [
  { name: 'one key', request: get('config', ['a']), ...FOUND, same: { a: A } },
  { name: 'all keys', request: get('config', []), ...FOUND, same: { a: A, b: B } },
  { name: 'keys of which some are missing', request: get('config', ['b', 'c']), ...FOUND, same: { b: B } },
  { name: 'a missing key', request: get('config', ['c']), ...DONE, same: {} },
  { name: 'get from an unknown store', request: get('nope', ['a']), ...unknownConfiguration },
  {
    name: 'a store that cannot read',
    request: get('broken', ['b', 'a']),
    ...failure(
      [500, 'ERR_CONFIGURATION_GET'],
      ['Internal', 'ERR_CONFIGURATION_GET'],
      'failed to get [b a] from Configuration store broken: the bus is gone',
    ),
  },
  {
    name: 'a subscription has an id',
    request: subscribe('config', ['a']),
    ...FOUND,
    same: { id: '00000000-0000-4000-8000-000000000001' },
  },
  { name: 'subscribe to an unknown store', request: subscribe('nope', ['a']), ...unknownConfiguration },
  {
    name: 'a store that cannot be subscribed to',
    request: subscribe('broken', ['a', 'b']),
    ...failure(
      [500, 'ERR_CONFIGURATION_SUBSCRIBE'],
      ['InvalidArgument', 'ERR_CONFIGURATION_SUBSCRIBE'],
      'failed to subscribe [a b] from Configuration store broken: the bus is gone',
    ),
  },
  {
    name: 'a subscription ends once',
    given: () => rig.blocks.configuration.subscribe('config', ['a'], {}, rig.call),
    request: unsubscribe('config', '00000000-0000-4000-8000-000000000001'),
    ...FOUND,
    same: { ok: true },
  },
  {
    name: 'a subscription that does not exist: no errorCode over HTTP, an answer over gRPC',
    request: unsubscribe('config', 'x'),
    http: {
      status: 500,
      message: 'failed to unsubscribe to configuration request x: subscription with id x does not exist',
    },
    grpc: {
      code: 'OK',
      value: {
        ok: false,
        message: 'failed to unsubscribe to configuration request x: subscription does not exist',
      },
    },
  },
  {
    name: 'unsubscribe at an unknown store: gRPC looks at the id alone',
    request: unsubscribe('nope', 'x'),
    http: unknownConfiguration.http,
    grpc: {
      code: 'OK',
      value: {
        ok: false,
        message: 'failed to unsubscribe to configuration request x: subscription does not exist',
      },
    },
  },
];

const me = { resourceId: 'r', lockOwner: 'me', expiryInSeconds: 10 };
const you = { ...me, lockOwner: 'you' };
const held = () => rig.blocks.lock.tryLock('locks', me, rig.call);
const malformed = (what: string) =>
  failure([400, 'ERR_MALFORMED_REQUEST'], ['InvalidArgument'], `${what} in lock store locks`);
const unknownLock = failure(
  [400, 'ERR_LOCK_STORE_NOT_FOUND'],
  ['InvalidArgument'],
  'lock store nope not found',
);

const lock: readonly ParityCase[] = [
  { name: 'a free lock', request: tryLock('locks', me), ...FOUND, same: { success: true } },
  {
    name: 'a lock that is held',
    given: held,
    request: tryLock('locks', you),
    ...FOUND,
    same: { success: false },
  },
  {
    name: 'a lock that was held',
    given: async () => {
      await held();
      await rig.clock.advance(10_000);
    },
    request: tryLock('locks', you),
    ...FOUND,
    same: { success: true },
  },
  {
    name: 'no resource',
    request: tryLock('locks', { ...me, resourceId: '' }),
    ...malformed('ResourceId is empty'),
  },
  {
    name: 'no owner',
    request: tryLock('locks', { ...me, lockOwner: '' }),
    ...malformed('LockOwner is empty'),
  },
  {
    name: 'no time',
    request: tryLock('locks', { ...me, expiryInSeconds: 0 }),
    ...malformed('ExpiryInSeconds is not positive'),
  },
  {
    name: 'time that is over',
    request: tryLock('locks', { ...me, expiryInSeconds: -1 }),
    ...malformed('ExpiryInSeconds is not positive'),
  },
  { name: 'lock in an unknown store', request: tryLock('nope', me), ...unknownLock },
  {
    name: 'a store that cannot lock',
    request: tryLock('broken', me),
    ...failure([500, 'ERR_TRY_LOCK'], ['Internal'], 'failed to try acquiring lock: the bus is gone'),
  },
  { name: 'the owner unlocks', given: held, request: unlock('locks', me), ...FOUND, same: { status: 0 } },
  { name: 'nobody holds it', request: unlock('locks', me), ...FOUND, same: { status: 1 } },
  { name: 'another one holds it', given: held, request: unlock('locks', you), ...FOUND, same: { status: 2 } },
  { name: 'a store with a problem', request: unlock('odd', me), ...FOUND, same: { status: 3 } },
  {
    name: 'unlock no resource',
    request: unlock('locks', { ...me, resourceId: '' }),
    ...malformed('ResourceId is empty'),
  },
  {
    name: 'unlock for no owner',
    request: unlock('locks', { ...me, lockOwner: '' }),
    ...malformed('LockOwner is empty'),
  },
  { name: 'unlock in an unknown store', request: unlock('nope', me), ...unknownLock },
  {
    name: 'a store that cannot unlock',
    request: unlock('broken', me),
    ...failure([500, 'ERR_UNLOCK'], ['Internal'], 'failed to release lock: the bus is gone'),
  },
];

runCases(t, [...configuration, ...lock], reset);

t.test('the app and the stream are told the same change', async (t) => {
  const told: unknown[] = [];
  const store = new ConfigurationInMemory({ a: A, b: B });
  const rig = await startParity(t, {
    components: () => [loaded('configuration', 'config', store, { instance: store })],
    app: {
      deliverConfiguration: async (store, key, id, items) => void told.push({ store, key, id, items }),
    },
  });
  const { subscribe, unsubscribe } = configurationRequests(rig);
  const [first, second] = [1, 2].map((count) => `00000000-0000-4000-8000-00000000000${count}`) as [
    string,
    string,
  ];
  t.strictSame(await subscribe('config', ['a']).http(), { status: 200, value: { id: first } });
  const stream = daprStream(
    rig.grpc,
    'SubscribeConfiguration',
    SubscribeConfigurationRequestSchema,
    SubscribeConfigurationResponseSchema,
  );
  stream.send({ storeName: 'config', keys: ['a'] });
  stream.end();
  t.match(await stream.next(), { id: second, items: {} });

  store.put('b', A);
  store.put('a', B);
  store.put('a');
  for (const item of [B, { value: '', version: '', metadata: {} }]) {
    const { id, items } = await stream.next();
    t.strictSame([id, itemsOf(items)], [second, { a: item }]);
    t.strictSame(told.shift(), { store: 'config', key: 'a', id: first, items: { a: item } });
  }
  t.strictSame(told, [], 'nothing about other keys');

  t.strictSame(await unsubscribe('config', second).grpc(), { code: 'OK', value: { ok: true } });
  t.match(await stream.status, { code: 0 });
  t.strictSame(await unsubscribe('config', first).http(), { status: 200, value: { ok: true } });
  store.put('a', A);
  await rig.clock.advance(0);
  t.strictSame(told, [], 'nothing after the end');
});

t.test('without stores, and without an app', async (t) => {
  const none = await startParity(t);
  const configuration = failure(
    [500, 'ERR_CONFIGURATION_STORE_NOT_CONFIGURED'],
    ['FailedPrecondition', 'ERR_CONFIGURATION_STORE_NOT_CONFIGURED'],
    'configuration stores not configured',
  );
  const lock = failure(
    [500, 'ERR_LOCK_STORE_NOT_CONFIGURED'],
    ['FailedPrecondition'],
    'lock store is not configured',
  );
  const alone = await startParity(t, { components: ({ make }) => [make(configurationInMemory, 'config')] });
  runCases(t, [
    { name: 'get', request: configurationRequests(none).get('nope', ['a']), ...configuration },
    { name: 'subscribe', request: configurationRequests(none).subscribe('nope', ['a']), ...configuration },
    { name: 'lock', request: lockRequests(none).tryLock('nope', me), ...lock },
    { name: 'unlock', request: lockRequests(none).unlock('nope', me), ...lock },
    {
      name: 'only HTTP needs an app to subscribe',
      request: configurationRequests(alone).subscribe('config', []),
      http: {
        status: 500,
        errorCode: 'ERR_APP_CHANNEL_NIL',
        message: 'app channel is not initialized. cannot subscribe to configuration updates',
      },
      grpc: { code: 'OK', value: { id: '00000000-0000-4000-8000-000000000001' } },
    },
  ]);
});

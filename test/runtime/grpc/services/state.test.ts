import { EmptySchema } from '@bufbuild/protobuf/wkt';
import t from 'tap';
import type { StateBlock } from '../../../../runtime/contracts/blocks.ts';
import { runtimeError } from '../../../../runtime/contracts/error.ts';
import {
  DeleteBulkStateRequestSchema,
  DeleteStateRequestSchema,
  ExecuteStateTransactionRequestSchema,
  GetBulkStateRequestSchema,
  GetBulkStateResponseSchema,
  GetStateRequestSchema,
  GetStateResponseSchema,
  QueryStateRequestSchema,
  QueryStateResponseSchema,
  SaveStateRequestSchema,
} from '../../../../runtime/generated/dapr/proto/runtime/v1/state_pb.ts';
import { daprCall } from '../../../support/dapr-calls.ts';
import { startDapr } from '../../../support/fake-blocks.ts';

const bytes = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text));

/** A block that records what it is asked. */
function recording(answers: Partial<StateBlock> = {}): { seen: unknown[]; state: Partial<StateBlock> } {
  const seen: unknown[] = [];
  const note =
    (operation: string) =>
    async (...given: unknown[]): Promise<void> =>
      void seen.push([operation, ...given.slice(0, -1)]);
  return {
    seen,
    state: {
      requireStore: (store) => {
        if (store === 'no') throw runtimeError('stateStoreNotFound', { store });
      },
      save: note('save'),
      delete: note('delete'),
      bulkDelete: note('bulkDelete'),
      transact: note('transact'),
      ...answers,
    },
  };
}

t.test('get: a record, a missing key, and the consistency word', async (t) => {
  const asked: unknown[] = [];
  const { state } = recording({
    get: async (store, key, options) => {
      asked.push([store, key, options]);
      return key === 'a' ? { value: bytes('v'), etag: '7', metadata: { ttlExpireTime: 'later' } } : undefined;
    },
  });
  const server = await startDapr(t, { state });
  const get = (key: string, consistency: 0 | 2 = 0) =>
    daprCall(server, 'GetState', GetStateRequestSchema, GetStateResponseSchema, {
      storeName: 's',
      key,
      consistency,
      metadata: { m: '1' },
    });
  t.match(await get('a', 2), {
    code: 0,
    message: { data: bytes('v'), etag: '7', metadata: { ttlExpireTime: 'later' } },
  });
  const missing = await get('b');
  t.match(missing, { code: 0, message: { etag: '' } });
  t.equal(missing.message?.data.byteLength, 0);
  t.same(asked[0], ['s', 'a', { consistency: 'strong', metadata: { m: '1' } }]);
});

t.test('save: opaque bytes, JSON on request, etag and options', async (t) => {
  const { seen, state } = recording();
  const server = await startDapr(t, { state });
  const save = (states: object[], storeName = 's') =>
    daprCall(server, 'SaveState', SaveStateRequestSchema, EmptySchema, { storeName, states });
  t.match(
    await save([
      {
        key: 'a',
        value: bytes('{ "b"'),
        etag: { value: '' },
        options: { concurrency: 1, consistency: 1 },
        metadata: { ttlInSeconds: '5' },
      },
      { key: 'j', value: bytes('{ "b": 1, "a": "<é>" }'), metadata: { contentType: 'application/json' } },
    ]),
    { code: 0 },
  );
  t.same(seen, [
    [
      'save',
      's',
      [
        {
          key: 'a',
          value: { bytes: bytes('{ "b"'), json: false },
          etag: '',
          options: { concurrency: 'first-write', consistency: 'eventual' },
          metadata: { ttlInSeconds: '5' },
        },
        {
          key: 'j',
          value: { bytes: Buffer.from('{"a":"\\u003cé\\u003e","b":1}'), json: true },
          options: { concurrency: '', consistency: '' },
          metadata: { contentType: 'application/json' },
        },
      ],
    ],
  ]);
  seen.length = 0;
  t.match(await save([]), { code: 0 });
  t.match(await save([], 'no'), { code: 3, text: 'state store no is not found' });
  t.match(await save([{ key: 'ok' }, { key: '' }]), { code: 3, text: 'state key cannot be empty' });
  t.match(await save([{ key: 'x', value: bytes('{'), metadata: { contentType: 'application/json' } }]), {
    code: 2,
  });
  t.same(seen, [], 'nothing half-applied');
});

t.test('delete, bulk delete, transaction', async (t) => {
  const { seen, state } = recording();
  const server = await startDapr(t, { state });
  t.match(
    await daprCall(server, 'DeleteState', DeleteStateRequestSchema, EmptySchema, {
      storeName: 's',
      key: 'a',
      etag: { value: '1' },
    }),
    { code: 0 },
  );
  t.match(
    await daprCall(server, 'DeleteBulkState', DeleteBulkStateRequestSchema, EmptySchema, {
      storeName: 's',
      states: [{ key: 'b' }],
    }),
    { code: 0 },
  );
  const transact = (operations: object[]) =>
    daprCall(server, 'ExecuteStateTransaction', ExecuteStateTransactionRequestSchema, EmptySchema, {
      storeName: 's',
      operations,
      metadata: { m: '1' },
    });
  t.match(
    await transact([
      { operationType: 'upsert', request: { key: 'c', value: bytes('1') } },
      { operationType: 'delete', request: { key: 'd' } },
    ]),
    { code: 0 },
  );
  const options = { concurrency: '', consistency: '' };
  t.same(seen, [
    ['delete', 's', { key: 'a', etag: '1', options, metadata: {} }],
    ['bulkDelete', 's', [{ key: 'b', options, metadata: {} }]],
    [
      'transact',
      's',
      [
        {
          operation: 'upsert',
          item: { key: 'c', value: { bytes: bytes('1'), json: false }, options, metadata: {} },
        },
        { operation: 'delete', item: { key: 'd', options, metadata: {} } },
      ],
      { m: '1' },
    ],
  ]);
  t.match(await transact([{ operationType: 'Upsert', request: { key: 'c' } }]), {
    code: 12,
    text: 'operation type Upsert not supported',
  });
});

t.test('bulk get: missing keys have empty data, failures a text', async (t) => {
  const { state } = recording({
    bulkGet: async () => [
      { key: 'a', value: bytes('v'), etag: '1', metadata: { m: '1' } },
      { key: 'b' },
      { key: 'c', error: 'broken' },
    ],
  });
  const server = await startDapr(t, { state });
  const bulk = (keys: string[]) =>
    daprCall(server, 'GetBulkState', GetBulkStateRequestSchema, GetBulkStateResponseSchema, {
      storeName: 's',
      keys,
      parallelism: 2,
    });
  t.match((await bulk(['a', 'b', 'c'])).message?.items, [
    { key: 'a', data: bytes('v'), etag: '1', error: '', metadata: { m: '1' } },
    { key: 'b', etag: '', error: '' },
    { key: 'c', error: 'broken' },
  ]);
  t.equal((await bulk([])).message?.items.length, 0, 'no keys: the store is not asked');
});

t.test('query is the block to refuse', async (t) => {
  const { state } = recording({
    query: () => Promise.reject(runtimeError('stateQueryNotSupported', { store: 's' })),
  });
  const server = await startDapr(t, { state });
  t.match(
    await daprCall(server, 'QueryStateAlpha1', QueryStateRequestSchema, QueryStateResponseSchema, {
      storeName: 's',
      query: '{}',
    }),
    {
      code: 13,
      text: 'state store does not support querying',
    },
  );
});

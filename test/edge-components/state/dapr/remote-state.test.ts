/** `state.dapr`: what is asked of the far sidecar, and what its answers mean here. */

import { create } from '@bufbuild/protobuf';
import { EmptySchema } from '@bufbuild/protobuf/wkt';
import t, { type Test } from 'tap';
import { createRemoteState } from '../../../../edge-components/state/dapr/remote-state.ts';
import { GrpcCode } from '../../../../runtime/contracts/grpc-code.ts';
import { unaryMethod } from '../../../../runtime/contracts/grpc-wire/service.ts';
import { GrpcStatusError } from '../../../../runtime/contracts/grpc-wire/status.ts';
import {
  EtagError,
  type StateOperation,
  type StateStore,
} from '../../../../runtime/contracts/state-store.ts';
import {
  type ExecuteStateTransactionRequest,
  ExecuteStateTransactionRequestSchema,
  GetBulkStateRequestSchema,
  GetBulkStateResponseSchema,
  type SaveStateRequest,
  SaveStateRequestSchema,
} from '../../../../runtime/generated/dapr/proto/runtime/v1/state_pb.ts';
import { codec } from '../../../../runtime/grpc-client/codec.ts';
import { componentDeps } from '../../../support/component-deps.ts';
import { startServer } from '../../../support/grpc-harness.ts';
import {
  type HttpTarget,
  httpTarget,
  type TargetAnswer,
  type TargetRequest,
} from '../../../support/http-target.ts';

const signal = new AbortController().signal;
const NO_OPTIONS = { concurrency: '', consistency: '' };

async function open(
  t: Test,
  answer: (request: TargetRequest) => TargetAnswer,
  remoteKeyPrefix = '',
): Promise<{ readonly store: StateStore; readonly target: HttpTarget }> {
  const target = await httpTarget(answer);
  t.teardown(() => target.close());
  const items = { endpointName: '', baseUrl: target.url, remoteName: 'far', timeout: 2000, remoteKeyPrefix };
  const store = createRemoteState(items, componentDeps());
  await store.init(signal);
  t.teardown(() => store.close());
  return { store, target };
}

const upsert = (
  key: string,
  value: string,
  more: Partial<StateOperation> = {},
): StateOperation & { kind: 'upsert' } => ({
  kind: 'upsert',
  key,
  value: { bytes: Buffer.from(value), json: true },
  options: NO_OPTIONS,
  metadata: {},
  ...(more as object),
});

t.test('keys lose the own prefix and get the remote one; the value is the JSON that was given', async (t) => {
  const { store, target } = await open(t, () => ({ status: 204 }), 'site-1/');
  await store.set(upsert('app||k 1', '{"a": 1.0}', { etag: '7', metadata: { ttlInSeconds: '5' } }), signal);
  t.equal(target.requests[0]?.url, '/v1.0/state/far');
  t.equal(
    target.requests[0]?.body,
    '[{"key":"site-1/k 1","value":{"a": 1.0},"etag":"7","metadata":{"ttlInSeconds":"5"}}]',
  );
  await store.get({ key: 'app||k 1', consistency: 'strong', metadata: { a: 'b' } }, signal);
  t.equal(target.requests[1]?.url, '/v1.0/state/far/site-1%2Fk%201?metadata.a=b&consistency=strong');
  await store.delete(
    {
      kind: 'delete',
      key: 'k',
      etag: '8',
      options: { concurrency: 'first-write', consistency: '' },
      metadata: {},
    },
    signal,
  );
  t.match(target.requests[2], {
    method: 'DELETE',
    url: '/v1.0/state/far/site-1%2Fk?concurrency=first-write',
    headers: { 'if-match': '8' },
  });
});

t.test('a read gives bytes, ETag and metadata; 204 is no record', async (t) => {
  const { store } = await open(t, ({ url }) =>
    url.endsWith('/none')
      ? { status: 204 }
      : { headers: { etag: 'e1', 'metadata.ttlExpireTime': '2030-01-01T00:00:00Z' }, body: '{"a": 1}' },
  );
  const record = await store.get({ key: 'app||k', consistency: '', metadata: {} }, signal);
  t.equal(Buffer.from(record?.value ?? []).toString(), '{"a": 1}');
  t.match(record, { etag: 'e1', metadata: { ttlExpireTime: '2030-01-01T00:00:00Z' } });
  t.equal(await store.get({ key: 'app||none', consistency: '', metadata: {} }, signal), undefined);
});

t.test('a bulk read keeps the digits of numbers', async (t) => {
  const body = '[{"key":"k","data":{"id":9007199254740993,"n":[1.10]},"etag":"1"},{"key":"none"}]';
  const { store } = await open(t, () => ({ body }));
  const [first, second] = (await store.bulkGet?.(['app||k', 'app||none'], {}, signal)) ?? [];
  t.equal(Buffer.from(first?.record?.value ?? []).toString(), '{"id":9007199254740993,"n":[1.1]}');
  t.same(second, { key: 'app||none' });
});

t.test('a conflict over there is a conflict here, in a transaction too', async (t) => {
  const text =
    'failed saving state in state store far: possible etag mismatch. error from state store: it moved';
  const { store } = await open(t, ({ url }) => ({
    status: url.endsWith('/transaction') ? 500 : 409,
    body: JSON.stringify({ errorCode: 'ERR_STATE_SAVE', message: text }),
  }));
  for (const work of [
    () => store.set(upsert('k', '1', { etag: 'old' }), signal),
    () => store.transact?.([upsert('k', '1', { etag: 'old' })], {}, signal),
  ]) {
    const error = await Promise.resolve(work()).then(
      () => undefined,
      (cause: unknown) => cause,
    );
    t.type(error, EtagError);
    t.match(error, { kind: 'mismatch', message: 'possible etag mismatch. error from state store: it moved' });
  }
});

t.test('bytes that are not JSON are refused before anything is sent', async (t) => {
  const { store, target } = await open(t, () => ({ status: 204 }));
  await t.rejects(store.set(upsert('k', 'plain words'), signal), /expected a value that is JSON/);
  t.equal(target.requests.length, 0);
});

t.test('nobody there, or an answer of something in between, is an error that says so', async (t) => {
  const { store, target } = await open(t, () => ({ status: 502, body: '<html>bad gateway</html>' }));
  await t.rejects(store.get({ key: 'k', consistency: '', metadata: {} }, signal), /status 502: <html>/);
  await target.close();
  await t.rejects(
    store.get({ key: 'k', consistency: '', metadata: {} }, signal),
    /cannot be reached: .*ECONNREFUSED/,
  );
});

t.test('a component without an address is refused with the item named', async (t) => {
  const bare = { endpointName: '', remoteName: '', timeout: 1, remoteKeyPrefix: '' };
  await t.rejects(createRemoteState(bare, componentDeps()).init(signal), /'endpointName'.*is required/);
  await t.rejects(
    createRemoteState({ ...bare, endpointName: 'nowhere' }, componentDeps()).init(signal),
    /no HTTPEndpoint resource named 'nowhere'/,
  );
});

t.test('bytes that are not JSON go over gRPC where there is an address, JSON over HTTP', async (t) => {
  const target = await httpTarget(() => ({ status: 204 }));
  t.teardown(() => target.close());
  const saved: SaveStateRequest[] = [];
  const changed: ExecuteStateTransactionRequest[] = [];
  const conflict =
    'failed saving state in state store far: possible etag mismatch. error from state store: it moved';
  const { port } = await startServer(t, [
    {
      name: 'dapr.proto.runtime.v1.Dapr',
      methods: {
        SaveState: unaryMethod(codec(SaveStateRequestSchema), codec(EmptySchema), async (request) => {
          if (request.states[0]?.etag?.value === 'old') throw new GrpcStatusError(GrpcCode.Aborted, conflict);
          saved.push(request);
          return create(EmptySchema);
        }),
        ExecuteStateTransaction: unaryMethod(
          codec(ExecuteStateTransactionRequestSchema),
          codec(EmptySchema),
          async (request) => {
            changed.push(request);
            return create(EmptySchema);
          },
        ),
        GetBulkState: unaryMethod(
          codec(GetBulkStateRequestSchema),
          codec(GetBulkStateResponseSchema),
          async () =>
            create(GetBulkStateResponseSchema, {
              items: [
                { key: 'k', data: Buffer.from('plain words'), etag: '3' },
                { key: 'none' },
                { key: 'bad', error: 'no' },
              ],
            }),
        ),
      },
    },
  ]);
  const items = {
    endpointName: '',
    baseUrl: target.url,
    remoteName: 'far',
    timeout: 2000,
    remoteKeyPrefix: '',
  };
  const store = createRemoteState({ ...items, grpcAddress: `127.0.0.1:${port}` }, componentDeps());
  await store.init(signal);
  t.teardown(() => store.close());
  const plain = { value: { bytes: Buffer.from('plain words'), json: false } } as Partial<StateOperation>;

  await store.set(upsert('app||k', '1'), signal);
  t.equal(target.requests.length, 1, 'JSON goes the usual way');
  const options = { concurrency: 'first-write', consistency: 'strong' };
  await store.set(upsert('app||k', '', { ...plain, etag: '2', options, metadata: { a: 'b' } }), signal);
  t.equal(target.requests.length, 1);
  t.match(saved[0], {
    storeName: 'far',
    states: [
      {
        key: 'k',
        value: Buffer.from('plain words'),
        etag: { value: '2' },
        options: { concurrency: 1, consistency: 2 },
        metadata: { a: 'b' },
      },
    ],
  });
  await t.rejects(store.set(upsert('k', '', { ...plain, etag: 'old' }), signal), {
    kind: 'mismatch',
    message: 'possible etag mismatch. error from state store: it moved',
  });
  const gone: StateOperation = { kind: 'delete', key: 'app||g', options: NO_OPTIONS, metadata: {} };
  await store.transact?.([upsert('app||k', '', plain), gone], { x: 'y' }, signal);
  t.match(changed[0], {
    operations: [
      { operationType: 'upsert', request: { key: 'k' } },
      { operationType: 'delete', request: { key: 'g' } },
    ],
    metadata: { x: 'y' },
  });
  const found = await store.bulkGet?.(['app||k', 'app||none', 'app||bad'], {}, signal);
  t.match(found, [
    { key: 'app||k', record: { value: Buffer.from('plain words'), etag: '3' } },
    { key: 'app||none', record: undefined },
    { key: 'app||bad', error: 'no' },
  ]);
});

t.test('a bulk get keeps every digit of a number', async (t) => {
  const { store } = await open(t, () => ({
    status: 200,
    body: '[{"key":"a","data":{"serial":12345678901234567890},"etag":"1"}]',
  }));
  const [item] = (await store.bulkGet?.(['app||a'], {}, signal)) ?? [];
  t.match(item, { key: 'app||a', record: { etag: '1' } });
  t.equal(String(Buffer.from(item?.record?.value ?? [])), '{"serial":12345678901234567890}');
});

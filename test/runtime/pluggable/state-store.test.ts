import t from 'tap';
import { createStateBlock } from '../../../runtime/building-blocks/state/state.ts';
import type { RuntimeError } from '../../../runtime/contracts/error.ts';
import { GrpcCode } from '../../../runtime/contracts/grpc-code.ts';
import { GrpcStatusError } from '../../../runtime/contracts/grpc-wire/status.ts';
import type { SetStateRequest } from '../../../runtime/contracts/state-store.ts';
import { blockRig, loaded } from '../../support/block-rig.ts';
import { etagStatus, infoStatus } from '../../support/pluggable-component.ts';
import { socketFolder } from '../../support/pluggable-rig.ts';

const signal = new AbortController().signal;
const options = { concurrency: '', consistency: '' };
const upsert = (key: string, value: string, etag?: string): SetStateRequest => ({
  kind: 'upsert',
  key,
  value: { bytes: Buffer.from(value), json: true },
  options: { concurrency: 'first-write', consistency: 'strong' },
  metadata: { contentType: 'text/plain' },
  ...(etag === undefined ? {} : { etag }),
});
const remove = (key: string, etag?: string) =>
  ({ kind: 'delete', key, options, metadata: {}, ...(etag === undefined ? {} : { etag }) }) as const;
const read = (key: string) => ({ key, consistency: 'eventual', metadata: { a: 'b' } });

t.test('records, one by one and several at once', async (t) => {
  const { start, open } = socketFolder(t);
  const component = await start('store.sock');
  const store = await open('state.store', 'orders');
  t.same(store.features, ['ETAG', 'TRANSACTIONAL']);
  await store.ping?.(signal);
  t.equal(await store.get(read('a'), signal), undefined);
  await store.set(upsert('a', '"1"'), signal);
  const record = await store.get(read('a'), signal);
  t.same(record, { value: new Uint8Array(Buffer.from('"1"')), etag: '1', metadata: { from: 'afar' } });
  t.match(component.to('StateStore/Set')[0], {
    instance: 'orders',
    request: {
      key: 'a',
      contentType: 'text/plain',
      metadata: { contentType: 'text/plain' },
      options: { concurrency: 1, consistency: 2 },
      etag: undefined,
    },
  });
  t.match(component.to('StateStore/Get')[0]?.request, { consistency: 1, metadata: { a: 'b' } });

  await store.bulkWrite?.([upsert('b', '2'), upsert('c', '3')], signal);
  t.equal(component.to('StateStore/BulkSet').length, 1);
  t.same(
    (await store.bulkGet?.(['b', 'none', 'broken'], {}, signal, 7))?.map(({ key, record, error }) => [
      key,
      record?.etag,
      error,
    ]),
    [
      ['b', '2', undefined],
      ['none', undefined, undefined],
      ['broken', undefined, 'unreadable'],
    ],
  );
  t.match(component.to('StateStore/BulkGet')[0]?.request, { options: { parallelism: 7n } });
  t.same(await store.bulkWrite?.([remove('b'), remove('c')], signal), [undefined, undefined]);
  t.equal(component.to('StateStore/BulkDelete').length, 1);
  await store.bulkWrite?.([remove('a', '1')], signal);
  t.equal(component.to('StateStore/Delete').length, 1, 'one alone goes by itself');
  t.equal(await store.get(read('a'), signal), undefined);
});

t.test('etags that do not match, are none, or are another error', async (t) => {
  const { start, open } = socketFolder(t);
  await start('store.sock', {
    failure: ({ method, request }) => {
      if (method === 'StateStore/Set' && (request as { key: string }).key === 'two')
        return new GrpcStatusError(GrpcCode.FailedPrecondition, 'no details');
      if (method === 'StateStore/BulkDelete')
        return infoStatus(GrpcCode.Internal, 'rows', { expected: '2', affected: '1' });
      if (method === 'StateStore/BulkSet') return etagStatus(GrpcCode.FailedPrecondition, 'b moved');
      return undefined;
    },
  });
  const store = await open('state.store', 'orders');
  await store.set(upsert('a', '1'), signal);
  await t.rejects(store.set(upsert('a', '2', '9'), signal), {
    name: 'EtagError',
    kind: 'mismatch',
    message: 'possible etag mismatch. error from state store: a has another version',
  });
  await t.rejects(store.delete(remove('a', 'x'), signal), {
    name: 'EtagError',
    kind: 'invalid',
    message: 'invalid etag value: not a number: x',
  });
  await t.rejects(store.set(upsert('two', '2'), signal), {
    name: 'RemoteError',
    message: 'rpc error: code = FailedPrecondition desc = no details',
  });
  const [first, second] = (await store.bulkWrite?.([remove('a'), remove('b')], signal)) ?? [];
  t.match(first, { message: 'delete affected only 1 rows, expected 2' });
  t.equal(first, second, 'refused as a whole');

  const rig = blockRig([loaded('state', 'orders', store, { capabilities: store.features })]);
  const block = createStateBlock(rig);
  const item = (key: string) => ({
    key,
    value: { bytes: Buffer.from('1'), json: true },
    options,
    metadata: {},
  });
  await t.rejects(block.save('orders', [item('a'), item('b')], rig.call), {
    message:
      'failed saving state in state store orders: possible etag mismatch. error from state store: b moved',
    httpStatus: 409,
    grpcCode: GrpcCode.Aborted,
  });
});

t.test('an error that the component made itself keeps its statuses', async (t) => {
  const verdict = (code: number, text: string) =>
    infoStatus(code, text, { kit_error: 'true', http_code: '507', tag: 'A_TAG' });
  const { start, open } = socketFolder(t);
  await start('store.sock', {
    failure: ({ method }) =>
      /\/(Get|Set|BulkGet|Transact|Query)$/.test(method)
        ? verdict(GrpcCode.DataLoss, 'disk gone')
        : undefined,
  });
  const store = await open('state.store', 'orders');
  const rig = blockRig([loaded('state', 'orders', store, { capabilities: store.features })]);
  const block = createStateBlock(rig);
  const http = { ...rig.call, protocol: 'http' as const };
  const grpc = { ...rig.call, protocol: 'grpc' as const };
  const refusal = async (work: Promise<unknown>) => {
    const error = await work.then(
      () => undefined,
      (reason: RuntimeError) => reason,
    );
    return {
      http: error?.httpStatus,
      grpc: error?.grpcCode,
      tag: error?.errorCode,
      text: error?.message,
      details: error?.details,
    };
  };
  const get = (call: typeof rig.call) => block.get('orders', 'a', { consistency: '', metadata: {} }, call);
  const own = {
    http: 507,
    grpc: GrpcCode.DataLoss,
    tag: 'A_TAG',
    text: 'disk gone',
    details: [{ kind: 'ErrorInfo', reason: 'A_REASON', domain: 'a-domain', metadata: null }],
  };
  t.match(await refusal(get(http)), {
    http: 507,
    tag: 'ERR_STATE_GET',
    text: 'fail to get a from state store orders: api error: code = DataLoss desc = disk gone',
    details: [],
  });
  t.same(await refusal(get(grpc)), own);
  t.match(await refusal(block.bulkGet('orders', ['a'], { parallelism: 0, metadata: {} }, http)), {
    http: 507,
    tag: 'ERR_STATE_BULK_GET',
    text: 'api error: code = DataLoss desc = disk gone',
  });
  t.same(await refusal(block.bulkGet('orders', ['a'], { parallelism: 0, metadata: {} }, grpc)), own);
  const item = { key: 'a', value: { bytes: Buffer.from('1'), json: true }, options, metadata: {} };
  t.same(await refusal(block.save('orders', [item], grpc)), own);
  t.same(
    await refusal(block.query('orders', Buffer.from('{}'), {}, http)),
    own,
    'a query passes it on to both',
  );
  t.match(await refusal(block.transact('orders', [{ operation: 'upsert', item }], {}, grpc)), {
    grpc: GrpcCode.Internal,
    text: 'error while executing state transaction: api error: code = DataLoss desc = disk gone',
  });
});

t.test('transactions ask for their limit once', async (t) => {
  const { start, open } = socketFolder(t);
  const component = await start('store.sock');
  const store = await open('state.store', 'orders');
  t.equal(component.to('TransactionalStoreMultiMaxSize/MultiMaxSize').length, 0, 'not before it is needed');
  t.equal(await store.maxTransactionOperations, 3);
  t.equal(await store.maxTransactionOperations, 3);
  t.equal(component.to('TransactionalStoreMultiMaxSize/MultiMaxSize').length, 1);
  await store.transact?.([upsert('a', '1'), upsert('b', '2'), remove('a')], { trace: 'x' }, signal);
  t.equal(await store.get(read('a'), signal), undefined);
  t.equal((await store.get(read('b'), signal))?.etag, '2');
  t.match(component.to('TransactionalStateStore/Transact')[0]?.request, { metadata: { trace: 'x' } });
});

t.test('a store without the companion services', async (t) => {
  const { start, open } = socketFolder(t);
  await start('plain.sock', { serves: ['StateStore'], stateFeatures: [] });
  const store = await open('state.plain', 'plain');
  t.equal(await store.maxTransactionOperations, 0);
  const rig = blockRig([loaded('state', 'plain', store)]);
  await t.rejects(createStateBlock(rig).query('plain', Buffer.from('{}'), {}, rig.call), {
    key: 'stateQuery',
    message: /query failed: rpc error: code = Unimplemented/,
  });
});

t.test('queries: the form is checked, keys come back without their prefix', async (t) => {
  const { start, open } = socketFolder(t);
  const component = await start('store.sock');
  const store = await open('state.store', 'orders');
  await store.set(upsert('app||a', '{"n":1}'), signal);
  const rig = blockRig([loaded('state', 'orders', store)]);
  const block = createStateBlock(rig);
  const ask = (query: object | string) =>
    block.query(
      'orders',
      Buffer.from(typeof query === 'string' ? query : JSON.stringify(query)),
      {},
      rig.call,
    );
  const filter = { OR: [{ EQ: { n: 1 } }, { IN: { m: ['<', 2] } }] };
  const found = await ask({ filter, sort: [{ key: 'n', order: 'DESC' }], page: { limit: 5, token: 't' } });
  t.match(found, { items: [{ key: 'a', etag: '1' }], token: 'more', metadata: { filters: 'OR' } });
  const sent = component.to('QueriableStateStore/Query')[0]?.request as {
    query: { filter: Record<string, { value: Uint8Array }>; sort: object[]; pagination: object };
  };
  t.equal(
    Buffer.from(sent.query.filter['OR']?.value ?? []).toString(),
    String.raw`[{"EQ":{"n":1}},{"IN":{"m":["\u003c",2]}}]`,
  );
  t.match(sent.query, { sort: [{ key: 'n', order: 1 }], pagination: { limit: 5n, token: 't' } });
  const faults: [object | string, RegExp][] = [
    ['{', /failed to parse JSON query body/],
    ['[]', /the query must be an object/],
    [{ filter: { EQ: { a: 1 }, GT: { b: 1 } } }, /filter unit must have a single element/],
    [{ filter: { LIKE: { a: 1 } } }, /unsupported filter "LIKE"/],
    [{ filter: { EQ: 1 } }, /EQ filter must be a map/],
    [{ filter: { GT: { a: 1, b: 2 } } }, /GT filter must contain a single key\/value pair/],
    [{ filter: { IN: { a: 1 } } }, /IN filter value must be an array/],
    [{ filter: { AND: {} } }, /AND filter must be an array/],
    [{ filter: { OR: [{ EQ: { a: 1 } }] } }, /OR filter must contain at least two entries/],
    [{ filter: { AND: [1, 2] } }, /filter unit must be a map/],
    [{ page: { limit: 1.5 } }, /page\.limit must be an integer/],
    [{ sort: {} }, /sort must be an array/],
  ];
  for (const [query, message] of faults) await t.rejects(ask(query), { key: 'stateQuery', message });
  t.equal(component.to('QueriableStateStore/Query').length, 1, 'a wrong query does not reach the store');
});

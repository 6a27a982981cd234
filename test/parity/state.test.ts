/** State over HTTP and over gRPC: the same store, the same answers (HTTP reference 6, gRPC reference 2.2). */

import t from 'tap';
import { definition as stateInMemory } from '../../edge-components/state/in-memory/component.ts';
import type { LoadedComponent } from '../../runtime/contracts/component-source.ts';
import { loaded } from '../support/block-rig.ts';
import { DONE, FOUND, failure, type ParityCase, runCases } from './support/cases.ts';
import { startParity } from './support/rig.ts';
import { type Item, stateRequests } from './support/state-requests.ts';

const NEVER = 'eeeeeeee-0000-4000-8000-000000000000';
/** Etag of the first, second, ... record that a case writes. */
const etag = (count: number): string => `00000000-0000-4000-8000-${String(count).padStart(12, '0')}`;

const broken = loaded('state', 'broken', {
  features: ['ETAG'],
  get: async () => Promise.reject(new Error('the disk is gone')),
  bulkGet: async () => Promise.reject(new Error('the disk is gone')),
  set: async () => Promise.reject(new Error('the disk is gone')),
  delete: async () => Promise.reject(new Error('the disk is gone')),
});
const small = loaded('state', 'small', {
  features: ['TRANSACTIONAL'],
  maxTransactionOperations: 1,
  transact: async () => {},
  get: async () => undefined,
  set: async () => {},
  delete: async () => {},
});

let store: LoadedComponent<'state'> | undefined;
const rig = await startParity(t, {
  components: ({ make }) => {
    store = make(stateInMemory, 'store');
    return [store, broken, small];
  },
});
const { get, bulkGet, save, delete: remove, transaction, query } = stateRequests(rig);

const reset = async (): Promise<void> => {
  await store?.instance.close();
  rig.restartIds();
};
/** Items that are there before. */
const holding =
  (...items: Item[]) =>
  async (): Promise<void> => {
    for (const { key, json = 'null', metadata = {} } of items) {
      const value = { bytes: Buffer.from(json), json: true };
      const options = { concurrency: '', consistency: '' };
      await rig.blocks.state.save('store', [{ key, value, options, metadata }], rig.call);
    }
  };
const a = { key: 'a', json: '{"n":1}' };
const b = { key: 'b', json: '"two"' };
const first = 'first-write';
const mismatch = 'possible etag mismatch. error from state store';
const illegal = "input key/keyPrefix 'a||b' can't contain '||'";
const unknownStore = failure(
  [400, 'ERR_STATE_STORE_NOT_FOUND'],
  ['InvalidArgument', 'DAPR_STATE_NOT_FOUND'],
  'state store nope is not found',
);
const illegalKey = {
  http: {
    status: 400,
    errorCode: 'ERR_MALFORMED_REQUEST',
    message: `api error: code = InvalidArgument desc = ${illegal}`,
  },
  grpc: { code: 'InvalidArgument', reason: 'DAPR_STATE_ILLEGAL_KEY', message: illegal },
};
const conflict = (reason: string, message: string) => failure([409, reason], ['Aborted', reason], message);
const failed = (reason: string, message: string) => failure([500, reason], ['Internal', reason], message);
/** Empty keys have another error per protocol (gRPC reference 2.2). */
const emptyKey = {
  http: { status: 400, errorCode: 'ERR_MALFORMED_REQUEST', message: '"key" is a required field' },
  grpc: { code: 'InvalidArgument', reason: 'ERR_STATE_SAVE', message: 'state key cannot be empty' },
};

const reads: readonly ParityCase[] = [
  {
    name: 'a record is read',
    given: holding(a),
    request: get('a'),
    ...FOUND,
    same: { data: '{"n":1}', etag: etag(1), metadata: {} },
  },
  {
    name: 'a missing key is nothing',
    request: get('a'),
    ...DONE,
    same: 'nothing',
  },
  {
    name: 'a record with time to live tells when it ends',
    given: holding({ ...a, metadata: { ttlInSeconds: '10' } }),
    request: get('a'),
    ...FOUND,
    same: { data: '{"n":1}', etag: etag(1), metadata: { ttlexpiretime: '2023-11-14T22:13:30Z' } },
  },
  {
    name: 'several keys are read at once, missing ones with their key alone',
    given: holding(a, b),
    request: bulkGet(['b', 'nothing', 'a']),
    ...FOUND,
    same: [
      { key: 'b', data: '"two"', etag: etag(2) },
      { key: 'nothing' },
      { key: 'a', data: '{"n":1}', etag: etag(1) },
    ],
  },
  { name: 'no keys', request: bulkGet([]), ...FOUND, same: [] },
  { name: 'get from an unknown store', request: get('a', 'nope'), ...unknownStore },
  { name: 'bulk get from an unknown store', request: bulkGet([], 'nope'), ...unknownStore },
  { name: 'get of an illegal key', request: get('a||b'), ...illegalKey },
  { name: 'bulk get of an illegal key', request: bulkGet(['a', 'a||b']), ...illegalKey },
  {
    name: 'a store that cannot read',
    request: get('a', 'broken'),
    ...failed('ERR_STATE_GET', 'fail to get a from state store broken: the disk is gone'),
  },
  {
    name: 'a store that cannot read several',
    request: bulkGet(['a'], 'broken'),
    ...failed('ERR_STATE_BULK_GET', 'the disk is gone'),
  },
  {
    name: 'queries are for other stores',
    request: query('{}'),
    ...failure(
      [500, 'ERR_STATE_STORE_NOT_SUPPORTED'],
      ['Internal', 'DAPR_STATE_QUERYING_NOT_SUPPORTED'],
      'state store does not support querying',
    ),
  },
  { name: 'query of an unknown store', request: query('{}', 'nope'), ...unknownStore },
];

const saves: readonly ParityCase[] = [
  {
    name: 'values are stored as written',
    request: save([a, b]),
    ...DONE,
    same: { a: '{"n":1}', b: '"two"' },
  },
  { name: 'no items', request: save([]), ...DONE, same: {} },
  {
    name: 'HTTP stores compact JSON, gRPC bytes',
    request: save([{ key: 'a', json: '{ "n" : 1 }' }]),
    http: { status: 204, value: { a: '{"n":1}' } },
    grpc: { code: 'OK', value: { a: '{ "n" : 1 }' } },
  },
  {
    name: 'with the content type of JSON, gRPC does as HTTP does',
    request: save([
      { key: 'a', json: '{ "z" : "<", "a" : 1 }', metadata: { contentType: 'application/json' } },
    ]),
    ...DONE,
    same: { a: '{"a":1,"z":"\\u003c"}' },
  },
  {
    name: 'no value is null over HTTP and empty over gRPC',
    request: save([{ key: 'a' }]),
    http: { status: 204, value: { a: 'null' } },
    grpc: { code: 'OK', value: { a: '' } },
  },
  {
    name: 'the right etag',
    given: holding(a),
    request: save([{ key: 'a', json: '2', etag: etag(1) }]),
    ...DONE,
    same: { a: '2' },
  },
  {
    name: 'another etag',
    given: holding(a),
    request: save([{ key: 'a', json: '2', etag: NEVER }]),
    ...conflict(
      'ERR_STATE_SAVE',
      `failed saving state in state store store: ${mismatch}: state etag not match for key=app||a: current=${etag(1)}, expect=${NEVER}`,
    ),
  },
  {
    name: 'one wrong etag of two',
    given: holding(a),
    request: save([
      { key: 'a', json: '2', etag: NEVER },
      { key: 'b', json: '2' },
    ]),
    ...conflict(
      'ERR_STATE_SAVE',
      `failed saving state in state store store: ${mismatch}: ${mismatch}: state etag not match for key=app||a: current=${etag(1)}, expect=${NEVER}`,
    ),
  },
  {
    name: 'the first write wins',
    given: holding(a),
    request: save([{ key: 'a', json: '2', concurrency: first }]),
    ...conflict(
      'ERR_STATE_SAVE',
      `failed saving state in state store store: ${mismatch}: item already exists and no etag was passed`,
    ),
  },
  {
    name: 'the first write of a new key',
    request: save([{ key: 'a', json: '2', concurrency: first }]),
    ...DONE,
    same: { a: '2' },
  },
  {
    name: 'a time to live that is no number',
    request: save([{ key: 'a', json: '2', metadata: { ttlInSeconds: 'soon' } }]),
    ...failed(
      'ERR_STATE_SAVE',
      `failed saving state in state store store: strconv.Atoi: parsing "soon": invalid syntax`,
    ),
  },
  { name: 'save to an unknown store', request: save([a], 'nope'), ...unknownStore },
  { name: 'save of an illegal key', request: save([a, { key: 'a||b' }]), ...illegalKey },
  { name: 'save without key', request: save([{ key: '' }]), ...emptyKey },
  {
    name: 'a store that cannot write',
    request: save([a], 'broken'),
    ...failed('ERR_STATE_SAVE', 'failed saving state in state store broken: the disk is gone'),
  },
];

const deletes: readonly ParityCase[] = [
  {
    name: 'a record goes',
    given: holding(a),
    request: remove({ key: 'a' }),
    ...DONE,
    same: { a: 'nothing' },
  },
  {
    name: 'a missing key may go too',
    request: remove({ key: 'a' }),
    ...DONE,
    same: { a: 'nothing' },
  },
  {
    name: 'an empty etag is none',
    given: holding(a),
    request: remove({ key: 'a', etag: '' }),
    ...DONE,
    same: { a: 'nothing' },
  },
  {
    name: 'delete with another etag',
    given: holding(a),
    request: remove({ key: 'a', etag: NEVER }),
    ...conflict(
      'ERR_STATE_DELETE',
      `failed deleting state with key a: ${mismatch}: state etag not match for key=app||a: current=${etag(1)}, expect=${NEVER}`,
    ),
  },
  {
    name: 'delete under first-write without etag',
    given: holding(a),
    request: remove({ key: 'a', concurrency: first }),
    ...conflict(
      'ERR_STATE_DELETE',
      `failed deleting state with key a: ${mismatch}: item already exists and no etag was passed`,
    ),
  },
  { name: 'delete from an unknown store', request: remove({ key: 'a' }, 'nope'), ...unknownStore },
  { name: 'delete of an illegal key', request: remove({ key: 'a||b' }), ...illegalKey },
  {
    name: 'a store that cannot delete',
    request: remove({ key: 'a' }, 'broken'),
    ...failed('ERR_STATE_DELETE', 'failed deleting state with key a: the disk is gone'),
  },
];

const transactions: readonly ParityCase[] = [
  {
    name: 'all operations in order',
    given: holding(b),
    request: transaction([
      ['upsert', a],
      ['delete', { key: 'b' }],
      ['upsert', { key: 'c', json: '3' }],
    ]),
    ...DONE,
    same: { a: '{"n":1}', b: 'nothing', c: '3' },
  },
  { name: 'no operations', request: transaction([]), ...DONE, same: {} },
  {
    name: 'an etag mismatch is a failed transaction',
    given: holding(a),
    request: transaction([['upsert', { key: 'a', json: '2', etag: NEVER }]]),
    ...failed(
      'ERR_STATE_TRANSACTION',
      `error while executing state transaction: ${mismatch}: state etag not match for key=app||a: current=${etag(1)}, expect=${NEVER}`,
    ),
  },
  {
    name: 'an unknown operation',
    request: transaction([['merge', a]]),
    ...failure(
      [400, 'ERR_NOT_SUPPORTED_STATE_OPERATION'],
      ['Unimplemented', 'ERR_NOT_SUPPORTED_STATE_OPERATION'],
      'operation type merge not supported',
    ),
  },
  {
    name: 'a store without transactions',
    request: transaction([['upsert', a]], 'broken'),
    ...failure(
      [500, 'ERR_STATE_STORE_NOT_SUPPORTED'],
      ['Unimplemented', 'DAPR_STATE_TRANSACTIONS_NOT_SUPPORTED'],
      "state store broken doesn't support transactions",
    ),
  },
  {
    name: 'more operations than the store takes',
    request: transaction(
      [
        ['upsert', a],
        ['upsert', b],
      ],
      'small',
    ),
    ...failure(
      [400, 'ERR_STATE_STORE_TOO_MANY_TRANSACTIONS'],
      ['InvalidArgument', 'DAPR_STATE_TOO_MANY_TRANSACTIONS'],
      'the transaction contains 2 operations, which is more than what the state store supports: 1',
    ),
  },
  { name: 'transaction on an unknown store', request: transaction([['upsert', a]], 'nope'), ...unknownStore },
  {
    name: 'transaction with an illegal key',
    request: transaction([['upsert', { key: 'a||b' }]]),
    ...illegalKey,
  },
  { name: 'transaction without key', request: transaction([['delete', { key: '' }]]), ...emptyKey },
];

runCases(t, [...reads, ...saves, ...deletes, ...transactions], reset);

t.test('a record is gone for both when its time is over', async (t) => {
  await reset();
  await holding({ ...a, metadata: { ttlInSeconds: '10' } })();
  await rig.clock.advance(10_000);
  t.strictSame(await get('a').http(), { status: 204, value: 'nothing' });
  t.strictSame(await get('a').grpc(), { code: 'OK', value: 'nothing' });
});

t.test('what one protocol writes the other one reads', async (t) => {
  await reset();
  await save([a]).http();
  await save([b]).grpc();
  const found = [
    { key: 'a', data: '{"n":1}', etag: etag(1) },
    { key: 'b', data: '"two"', etag: etag(2) },
  ];
  t.strictSame((await bulkGet(['a', 'b']).http()).value, found);
  t.strictSame((await bulkGet(['a', 'b']).grpc()).value, found);
});

t.test('without any state store', async (t) => {
  const { get, save, transaction } = stateRequests(await startParity(t));
  const message = 'state store nope is not configured';
  const missing = failure(
    [500, 'ERR_STATE_STORE_NOT_CONFIGURED'],
    ['FailedPrecondition', 'DAPR_STATE_NOT_CONFIGURED'],
    message,
  );
  runCases(t, [
    { name: 'get', request: get('a', 'nope'), ...missing },
    { name: 'save', request: save([a], 'nope'), ...missing },
    { name: 'transaction', request: transaction([['upsert', a]], 'nope'), ...missing },
  ]);
});

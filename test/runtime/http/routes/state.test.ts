import t from 'tap';
import type {
  Blocks,
  StateItem,
  StateKeyed,
  StateTransactionOperation,
} from '../../../../runtime/contracts/blocks.ts';
import { runtimeError } from '../../../../runtime/contracts/error.ts';
import { type FakeApi, fakeBlocks, serve } from '../fake-api.ts';

type Test = Parameters<typeof serve>[0];

async function withState(t: Test, state: Partial<Blocks['state']>): Promise<FakeApi> {
  const requireStore = (store: string): void => {
    if (store === 'nope') throw runtimeError('stateStoreNotFound', { store }, { info: { appID: 'app' } });
  };
  return serve(t, fakeBlocks({ state: { requireStore, ...state } }));
}

const post = (path: string, body: string) => ({ method: 'POST', path, body });

t.test('save: members in any case, the last one counts, query metadata win', async (t) => {
  const saved: StateItem[] = [];
  const api = await withState(t, { save: async (_store, items) => void saved.push(...items) });
  const body =
    '[{"KEY":"a","value":1,"Value":{"z":1, "a":"<"},"etag":"e","Metadata":{"ttlInSeconds":"5"},"options":{"concurrency":"first-write"}},{"key":"b"}]';
  t.equal((await api.call(post('/v1.0/state/s?metadata.ttlInSeconds=9', body))).status, 204);
  const [first, second] = saved;
  t.equal(Buffer.from(first?.value.bytes ?? []).toString(), '{"a":"\\u003c","z":1}');
  t.equal(first?.value.json, true);
  t.strictSame(
    { key: first?.key, etag: first?.etag, metadata: first?.metadata, options: first?.options },
    {
      key: 'a',
      etag: 'e',
      metadata: { ttlInSeconds: '9' },
      options: { concurrency: 'first-write', consistency: '' },
    },
  );
  t.equal(Buffer.from(second?.value.bytes ?? []).toString(), 'null');
  t.notOk(second !== undefined && 'etag' in second);
  t.equal((await api.call(post('/v1.0/state/s', 'null'))).status, 204);
});

t.test('save: what cannot be decoded is refused after the store was looked up', async (t) => {
  const api = await withState(t, { save: async () => {} });
  for (const body of [
    'nonsense',
    '',
    '{"key":"a"}',
    '[{"key":5}]',
    '[{"key":"a","etag":5}]',
    '[{"key":"a","metadata":{"x":5}}]',
    '[{"key":"a","options":"strong"}]',
  ]) {
    const answer = await api.call(post('/v1.0/state/s', body));
    t.equal(answer.status, 400, body);
    t.match(answer.json, { errorCode: 'ERR_MALFORMED_REQUEST', message: String });
    t.notMatch((answer.json as { message: string }).message, /failed deserializing/);
  }
  t.match((await api.call(post('/v1.0/state/nope', 'nonsense'))).json, {
    errorCode: 'ERR_STATE_STORE_NOT_FOUND',
  });
});

t.test('get: stored bytes, etag and metadata headers; 204 for a miss', async (t) => {
  const asked: unknown[] = [];
  const api = await withState(t, {
    get: async (store, key, options) => {
      asked.push([store, key, options]);
      if (key === 'miss') return undefined;
      return {
        value: Buffer.from('"x"'),
        etag: 'W 1',
        metadata: { ttlExpireTime: '2030-01-01T00:00:00Z', 'not a name': 'x' },
      };
    },
  });
  const hit = await api.call({
    path: '/v1.0/state/s/a%2Fb+c?consistency=strong&metadata.partitionKey=p&metadata.partitionKey=q',
  });
  t.strictSame(asked[0], ['s', 'a/b c', { consistency: 'strong', metadata: { partitionKey: 'p' } }]);
  t.equal(hit.text, '"x"');
  t.match(hit.headers, {
    'content-type': 'application/json',
    etag: 'W 1',
    'metadata.ttlexpiretime': '2030-01-01T00:00:00Z',
  });
  const miss = await api.call({ path: '/v1.0/state/s/miss' });
  t.equal(miss.status, 204);
  t.equal(miss.headers['content-type'], undefined);
});

t.test('delete: If-Match is handed on as it is, an empty one too', async (t) => {
  const deleted: StateKeyed[] = [];
  const api = await withState(t, { delete: async (_store, item) => void deleted.push(item) });
  await api.call({
    method: 'DELETE',
    path: '/v1.0/state/s/k?concurrency=first-write',
    headers: { 'if-match': '"q"' },
  });
  await api.call({ method: 'DELETE', path: '/v1.0/state/s/k', headers: { 'if-match': '' } });
  await api.call({ method: 'DELETE', path: '/v1.0/state/s/k' });
  t.strictSame(
    deleted.map(({ etag }) => etag),
    ['"q"', '', undefined],
  );
  t.equal(deleted[0]?.options.concurrency, 'first-write');
});

t.test('bulk get: one entry per key, a value that is no JSON becomes its error', async (t) => {
  const api = await withState(t, {
    bulkGet: async (_store, keys) =>
      keys.map((key) =>
        key === 'miss'
          ? { key }
          : key === 'binary'
            ? { key, value: Uint8Array.of(1, 2) }
            : { key, value: Buffer.from('1'), etag: 'e', metadata: { a: 'b' } },
      ),
  });
  const answer = await api.call(
    post('/v1.0/state/s/bulk', '{"keys":["a","miss","binary"],"parallelism":-1}'),
  );
  t.strictSame(answer.json, [
    { key: 'a', data: 1, etag: 'e', metadata: { a: 'b' } },
    { key: 'miss' },
    { key: 'binary', error: 'the stored value is not JSON' },
  ]);
  t.equal((await api.call(post('/v1.0/state/s/bulk', '{}'))).text, '[]');
  t.match((await api.call(post('/v1.0/state/s/bulk', '{"keys":"a"}'))).json, {
    message: /^failed deserializing HTTP body: /,
  });
});

t.test('transaction: operations in order, metadata of the query reach each', async (t) => {
  const seen: { operations: readonly StateTransactionOperation[]; metadata: unknown }[] = [];
  const api = await withState(t, {
    transact: async (_store, operations, metadata) => void seen.push({ operations, metadata }),
  });
  const body = JSON.stringify({
    operations: [
      {
        operation: 'upsert',
        request: { key: 'a', value: { n: 1 }, contentType: 'application/json', metadata: { x: 'own' } },
      },
      { operation: 'delete', request: { key: 'b', etag: 'e' } },
    ],
    metadata: { y: 'body' },
  });
  t.equal((await api.call(post('/v1.0/state/s/transaction?metadata.x=query', body))).status, 204);
  t.match(seen[0], {
    metadata: { y: 'body', x: 'query' },
    operations: [
      { operation: 'upsert', contentType: 'application/json', item: { key: 'a', metadata: { x: 'query' } } },
      { operation: 'delete', item: { key: 'b', etag: 'e', metadata: { x: 'query' } } },
    ],
  });
  const refused = async (operations: unknown): Promise<unknown> =>
    (await api.call(post('/v1.0/state/s/transaction', JSON.stringify({ operations })))).json;
  t.match(await refused([{ operation: 'UPSERT', request: {} }]), {
    errorCode: 'ERR_NOT_SUPPORTED_STATE_OPERATION',
    message: 'operation type UPSERT not supported',
  });
  t.match(await refused([{ request: { key: 'a' } }]), { message: 'operation type  not supported' });
  t.match(await refused([{ operation: 'upsert', request: 'text' }]), { errorCode: 'ERR_MALFORMED_REQUEST' });
  t.match(await refused([{ operation: 'upsert', request: { key: 'a', etag: 5 } }]), {
    errorCode: 'ERR_MALFORMED_REQUEST',
  });
});

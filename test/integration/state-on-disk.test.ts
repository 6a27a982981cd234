// The state API on SQLite: everything that was answered is there after a power cut, nothing else is.

import t from 'tap';
import { type Answer, type CallOptions, call } from './support/http-call.ts';
import { startSidecar } from './support/node-process.ts';
import { component } from './support/resource-files.ts';

t.test('set, get, bulk, delete, etags, TTL, transactions, and a power cut', async (t) => {
  const request = {
    appId: 'keeper',
    resources: [component('statestore', 'state.sqlite', { connectionString: 'skerry:system' })],
  };
  let node = await startSidecar(t, request);
  const at = (path: string, options?: CallOptions): Promise<Answer> =>
    call(`${node.base}/v1.0/state/statestore${path}`, options);
  const get = async (key: string): Promise<string> => (await at(`/${key}`)).text;

  const saved = await at('', {
    body: [
      { key: 'a', value: { n: 1 } },
      { key: 'b', value: 'text' },
      { key: 'c', value: 3 },
    ],
  });
  t.equal(saved.status, 204);
  t.equal(await get('a'), '{"n":1}');
  t.equal(await get('b'), '"text"');
  t.equal((await at('/none')).status, 204, 'a missing key is no error');
  const bulk = await at('/bulk', { body: { keys: ['a', 'none', 'c'], parallelism: 2 } });
  const items: { key: string; data?: unknown }[] = JSON.parse(bulk.text);
  t.same(Object.fromEntries(items.map(({ key, data }) => [key, data])), {
    a: { n: 1 },
    none: undefined,
    c: 3,
  });

  const etag = (await at('/a')).headers['etag'];
  t.type(etag, 'string');
  const options = { concurrency: 'first-write' };
  t.equal((await at('', { body: [{ key: 'a', value: { n: 2 }, etag, options }] })).status, 204);
  const late = await at('', { body: [{ key: 'a', value: { n: 3 }, etag, options }] });
  t.equal(late.status, 409, 'the etag is used up');
  t.match(JSON.parse(late.text), { errorCode: 'ERR_STATE_SAVE' });
  t.equal((await at('/a', { method: 'DELETE', headers: { 'if-match': String(etag) } })).status, 409);
  t.equal(await get('a'), '{"n":2}');
  t.equal((await at('/b', { method: 'DELETE' })).status, 204);
  t.equal((await at('/b')).status, 204);

  t.equal(
    (await at('', { body: [{ key: 'long', value: 1, metadata: { ttlInSeconds: '600' } }] })).status,
    204,
  );
  t.ok((await at('/long')).headers['metadata.ttlexpiretime'], 'the answer says when it expires');
  const bad = await at('', { body: [{ key: 'x', value: 1, metadata: { ttlInSeconds: 'soon' } }] });
  t.ok(bad.status >= 400, `a TTL that is no number is refused: ${bad.text}`);

  const transaction = await at('/transaction', {
    body: {
      operations: [
        { operation: 'upsert', request: { key: 't1', value: 1 } },
        { operation: 'upsert', request: { key: 't2', value: 2 } },
        { operation: 'delete', request: { key: 'c' } },
      ],
    },
  });
  t.equal(transaction.status, 204, transaction.text);
  const broken = await at('/transaction', {
    body: {
      operations: [
        { operation: 'upsert', request: { key: 't3', value: 3 } },
        { operation: 'upsert', request: { key: 'a', value: 9, etag: '999', options } },
      ],
    },
  });
  t.ok(broken.status >= 400, 'one stale etag refuses the whole transaction');
  t.equal((await at('/t3')).status, 204, 'nothing of it was applied');

  const burst = await Promise.all(
    Array.from({ length: 50 }, async (_, n) => (await at('', { body: [{ key: `k${n}`, value: n }] })).status),
  );
  t.ok(burst.every((status) => status === 204));
  await node.kill();

  node = await startSidecar(t, { ...request, ports: node.ports, dataDir: node.dataDir });
  t.equal(await get('a'), '{"n":2}');
  t.equal(await get('t1'), '1');
  t.equal(await get('t2'), '2');
  for (const gone of ['b', 'c', 't3', 'x'])
    t.equal((await at(`/${gone}`)).status, 204, `${gone} is not there`);
  const kept = await Promise.all(burst.map((_, n) => get(`k${n}`)));
  t.same(
    kept,
    burst.map((_, n) => String(n)),
    'every acknowledged write is there',
  );
  t.equal((await node.stop()).code, 0);
});

t.test('writes under way at a power cut are there as a whole or not at all', async (t) => {
  const request = {
    appId: 'keeper',
    resources: [component('statestore', 'state.sqlite', { connectionString: 'skerry:system' })],
  };
  let node = await startSidecar(t, request);
  const acknowledged = new Set<number>();
  const writes: Promise<void>[] = [];
  let cut: Promise<void> | undefined;
  for (let n = 0; n < 200; n += 1) {
    const pair = [
      { key: `left-${n}`, value: n },
      { key: `right-${n}`, value: n },
    ];
    const operations = pair.map((item) => ({ operation: 'upsert', request: item }));
    const write = call(`${node.base}/v1.0/state/statestore/transaction`, { body: { operations } }).then(
      ({ status }) => {
        if (status === 204) acknowledged.add(n);
        if (acknowledged.size === 60) cut = node.kill();
      },
      () => undefined,
    );
    writes.push(write);
    if (n % 20 === 19) await write;
    if (cut !== undefined) break;
  }
  await Promise.all(writes);
  await cut;
  t.ok(acknowledged.size >= 60);

  node = await startSidecar(t, { ...request, ports: node.ports, dataDir: node.dataDir });
  for (const [n] of writes.entries()) {
    const [left, right] = await Promise.all(
      ['left', 'right'].map(
        async (side) => (await call(`${node.base}/v1.0/state/statestore/${side}-${n}`)).text,
      ),
    );
    if (left !== right) t.fail(`pair ${n} is torn: ${left} and ${right}`);
    if (acknowledged.has(n) && left !== String(n)) t.fail(`pair ${n} was acknowledged and is gone`);
  }
});

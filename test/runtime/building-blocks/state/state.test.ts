/** The state block: keys, failures and their statuses, several writes at once, transactions, values at rest. */

import t from 'tap';
import { createStateBlock } from '../../../../runtime/building-blocks/state/state.ts';
import type {
  StateItem,
  StateKeyed,
  StateTransactionOperation,
} from '../../../../runtime/contracts/blocks.ts';
import type { LoadedComponent } from '../../../../runtime/contracts/component-source.ts';
import {
  EtagError,
  type StateOperation,
  type StateStore,
} from '../../../../runtime/contracts/state-store.ts';
import { blockRig, loaded, refusal, refusing, retrying } from '../../../support/block-rig.ts';

const NO_OPTIONS = { concurrency: '', consistency: '' };
const item = (key: string, value = '1', more: Partial<StateItem> = {}): StateItem => ({
  key,
  value: { bytes: Buffer.from(value), json: true },
  options: NO_OPTIONS,
  metadata: {},
  ...more,
});
const keyed = (key: string, more: Partial<StateKeyed> = {}): StateKeyed => ({
  key,
  options: NO_OPTIONS,
  metadata: {},
  ...more,
});
const READ = { consistency: '', metadata: {} };
const BULK = { parallelism: 0, metadata: {} };

interface FakeStore {
  readonly component: LoadedComponent<'state'>;
  /** Stored text by stored key. */
  readonly records: Map<string, string>;
  /** What `set` of a stored key throws, once per entry. */
  readonly faults: Map<string, Error[]>;
  readonly writes: string[];
}

function fakeStore(more: Partial<LoadedComponent<'state'>> = {}, extra: Partial<StateStore> = {}): FakeStore {
  const records = new Map<string, string>();
  const faults = new Map<string, Error[]>();
  const writes: string[] = [];
  const apply = async (operation: StateOperation): Promise<void> => {
    writes.push(`${operation.kind} ${operation.key}`);
    const fault = faults.get(operation.key)?.shift();
    if (fault !== undefined) throw fault;
    if (operation.kind === 'upsert')
      records.set(operation.key, Buffer.from(operation.value.bytes).toString('latin1'));
    else records.delete(operation.key);
  };
  const component = loaded(
    'state',
    'mem',
    {
      features: ['ETAG', 'TRANSACTIONAL'],
      get: async ({ key }) => {
        const fault = faults.get(key)?.shift();
        if (fault !== undefined) throw fault;
        const value = records.get(key);
        return value === undefined
          ? undefined
          : { value: Buffer.from(value, 'latin1'), etag: 'e1', metadata: { m: '1' } };
      },
      set: apply,
      delete: apply,
      transact: async (operations) => {
        for (const operation of operations) await apply(operation);
      },
      ...extra,
    },
    more,
  );
  return { component, records, faults, writes };
}

t.test('save, get, delete under the prefix of the app', async (t) => {
  const { component, records } = fakeStore();
  const rig = blockRig([component]);
  const block = createStateBlock(rig);
  await block.save('mem', [item('a', '"x"')], rig.call);
  t.strictSame([...records], [['app||a', '"x"']]);
  const found = await block.get('mem', 'a', READ, rig.call);
  t.match(found, { etag: 'e1', metadata: { m: '1' } });
  t.equal(Buffer.from(found?.value ?? []).toString(), '"x"');
  t.equal(await block.get('mem', 'b', READ, rig.call), undefined);
  await block.delete('mem', keyed('a'), rig.call);
  t.equal(records.size, 0);
  await block.save('mem', [], rig.call);
  t.strictSame(rig.counted, [
    'component_state_count mem set true',
    'component_state_count mem get true',
    'component_state_count mem get true',
    'component_state_count mem delete true',
  ]);
});

t.test('prefixes', async (t) => {
  const stored = async (keyPrefix: string, namespace = ''): Promise<string | undefined> => {
    const { component, records } = fakeStore({ metadata: { KEYPREFIX: keyPrefix } });
    const rig = { ...blockRig([component]), namespace };
    await createStateBlock(rig).save('mem', [item('k')], rig.call);
    return [...records.keys()][0];
  };
  t.equal(await stored('appid'), 'app||k');
  t.equal(await stored('name'), 'mem||k');
  t.equal(await stored('none'), 'k');
  t.equal(await stored('namespace', 'ns'), 'ns.app||k');
  t.equal(await stored('namespace'), 'app||k');
  t.equal(await stored('shared'), 'shared||k');
});

t.test('stores and keys that cannot be', async (t) => {
  const { component, writes } = fakeStore();
  const rig = blockRig([component]);
  const block = createStateBlock(rig);
  t.match(await refusal(() => block.requireStore('nope')), { key: 'stateStoreNotFound', status: 400 });
  t.match(await refusal(() => createStateBlock(blockRig([])).requireStore('mem')), {
    key: 'stateStoresNotConfigured',
    status: 500,
  });
  t.doesNotThrow(() => block.requireStore('mem'));
  t.match(await refusal(block.save('mem', [item('a'), item('x||y')], rig.call)), {
    key: 'stateIllegalKey',
    status: 400,
  });
  const illegal = await refusal(block.get('mem', 'x||y', READ, rig.call));
  t.match(illegal, { key: 'stateIllegalKey' });
  t.match(illegal.error.details, [
    { violations: [{ field: 'x||y', description: /^api error: code = InvalidArgument desc = input key/ }] },
    { kind: 'ResourceInfo' },
    { kind: 'ErrorInfo', metadata: null },
  ]);
  t.match(await refusal(block.bulkGet('mem', ['a', 'x||y'], BULK, rig.call)), { key: 'stateIllegalKey' });
  t.equal((await refusal(block.save('mem', [item('')], rig.call))).key, 'stateKeyRequired');
  t.equal(
    (await refusal(block.save('mem', [item('')], { ...rig.call, protocol: 'grpc' }))).key,
    'stateKeyEmpty',
  );
  t.strictSame(writes, [], 'nothing half-applied');
});

t.test('failures of single calls', async (t) => {
  const { component, faults } = fakeStore();
  const rig = blockRig([component]);
  const block = createStateBlock(rig);
  const fail = (error: Error): void => void faults.set('app||a', [error]);
  fail(new Error('no disk'));
  t.match(await refusal(block.get('mem', 'a', READ, rig.call)), {
    key: 'stateGet',
    status: 500,
    message: /no disk/,
  });
  fail(new EtagError('mismatch', 'why'));
  t.match(await refusal(block.save('mem', [item('a')], rig.call)), {
    key: 'stateSave',
    status: 409,
    message: /possible etag mismatch.*why/,
  });
  t.equal(rig.counted.at(-1), 'component_state_count mem set false', 'no reason to retry, but a failure');
  fail(new EtagError('invalid'));
  t.match(await refusal(block.delete('mem', keyed('a'), rig.call)), {
    key: 'stateDelete',
    status: 400,
    message: /invalid etag/,
  });
  fail(new Error('no disk'));
  t.match(await refusal(block.delete('mem', keyed('a'), rig.call)), { status: 500, message: /no disk/ });
});

t.test('an etag failure is an answer, not a reason to try again', async (t) => {
  const { component, faults, writes } = fakeStore();
  const rig = blockRig([component], retrying(5));
  const block = createStateBlock(rig);
  faults.set('app||a', [new EtagError('mismatch')]);
  t.match(await refusal(block.save('mem', [item('a')], rig.call)), { status: 409 });
  t.equal(writes.length, 1);
  faults.set('app||b', [new Error('busy'), new Error('busy')]);
  await block.save('mem', [item('b')], rig.call);
  t.equal(writes.length, 4);
});

t.test('several writes: only what failed is tried again', async (t) => {
  const { component, faults, writes, records } = fakeStore();
  const rig = blockRig([component], retrying(3));
  const block = createStateBlock(rig);
  faults.set('app||b', [new Error('busy')]);
  faults.set('app||c', [new EtagError('mismatch')]);
  t.match(await refusal(block.save('mem', [item('a'), item('b'), item('c')], rig.call)), {
    key: 'stateSave',
    status: 409,
  });
  t.strictSame(writes, ['upsert app||a', 'upsert app||b', 'upsert app||c', 'upsert app||b']);
  t.strictSame([...records.keys()], ['app||a', 'app||b']);
});

t.test('several writes: statuses', async (t) => {
  const status = async (...failures: Error[]): Promise<number> => {
    const { component, faults } = fakeStore();
    const rig = blockRig([component]);
    failures.forEach((failure, index) => void faults.set(`app||${index}`, [failure]));
    const keys = ['0', '1', '2'].map((key) => keyed(key));
    return (await refusal(createStateBlock(rig).bulkDelete('mem', keys, rig.call))).status;
  };
  t.equal(await status(new EtagError('mismatch')), 409);
  t.equal(await status(new EtagError('mismatch'), new EtagError('invalid')), 400);
  t.equal(await status(new EtagError('mismatch'), new Error('no disk')), 409, 'the etag failure decides');
  t.equal(await status(new Error('no disk'), new EtagError('invalid')), 400);
  t.equal(await status(new Error('no disk'), new Error('no disk')), 500);
});

t.test('several writes that a policy refuses are not reported as done', async (t) => {
  const { component, writes } = fakeStore();
  const rig = blockRig([component], refusing(new Error('circuit breaker is open')));
  const block = createStateBlock(rig);
  t.match(await refusal(block.save('mem', [item('a'), item('b')], rig.call)), {
    status: 500,
    message: /breaker is open/,
  });
  t.match(await refusal(block.bulkDelete('mem', [keyed('a')], rig.call)), {
    status: 500,
    message: /breaker is open/,
  });
  t.strictSame(writes, []);
});

t.test('a store with a bulk write of its own gets one call', async (t) => {
  const calls: number[] = [];
  const { component } = fakeStore(
    {},
    {
      bulkWrite: async (requests) => {
        calls.push(requests.length);
        return requests.map(({ key }) => (key.endsWith('b') ? new EtagError('mismatch') : undefined));
      },
    },
  );
  const rig = blockRig([component]);
  t.match(await refusal(createStateBlock(rig).save('mem', [item('a'), item('b')], rig.call)), {
    status: 409,
  });
  t.strictSame(calls, [2]);
});

t.test('bulk get key by key: in the order asked, failures per key', async (t) => {
  const { component, records, faults } = fakeStore();
  const rig = blockRig([component]);
  records.set('app||a', '1');
  faults.set('app||c', [new Error('no disk')]);
  const answers = await createStateBlock(rig).bulkGet(
    'mem',
    ['c', 'b', 'a'],
    { parallelism: 2, metadata: {} },
    rig.call,
  );
  t.match(answers, [{ key: 'c', error: /no disk/ }, { key: 'b' }, { key: 'a', etag: 'e1' }]);
  t.strictSame(await createStateBlock(rig).bulkGet('mem', [], BULK, rig.call), []);
});

t.test('bulk get keeps to its parallelism', async (t) => {
  let running = 0;
  let most = 0;
  const { component } = fakeStore(
    {},
    {
      get: async () => {
        running += 1;
        most = Math.max(most, running);
        await new Promise(setImmediate);
        running -= 1;
        return undefined;
      },
    },
  );
  const rig = blockRig([component]);
  const keys = Array.from({ length: 200 }, (_, index) => `${index}`);
  await createStateBlock(rig).bulkGet('mem', keys, { parallelism: 3, metadata: {} }, rig.call);
  t.equal(most, 3);
  await createStateBlock(rig).bulkGet('mem', keys, { parallelism: 1000, metadata: {} }, rig.call);
  t.equal(most, 64);
});

t.test('transactions', async (t) => {
  const { component, writes, faults } = fakeStore();
  const rig = blockRig([component]);
  const block = createStateBlock(rig);
  const operations: StateTransactionOperation[] = [
    { operation: 'upsert', item: item('a') },
    { operation: 'delete', item: keyed('b') },
  ];
  await block.transact('mem', operations, {}, rig.call);
  t.strictSame(writes, ['upsert app||a', 'delete app||b']);
  await block.transact('mem', [], {}, rig.call);
  faults.set('app||a', [new Error('no disk')]);
  t.match(await refusal(block.transact('mem', operations, {}, rig.call)), {
    key: 'stateTransaction',
    status: 500,
    message: /no disk/,
  });
  const illegal: StateTransactionOperation[] = [...operations, { operation: 'delete', item: keyed('x||y') }];
  writes.length = 0;
  t.equal((await refusal(block.transact('mem', illegal, {}, rig.call))).key, 'stateIllegalKey');
  t.strictSame(writes, []);
});

t.test('transactions that a store cannot do', async (t) => {
  const operations: StateTransactionOperation[] = [1, 2].map((n) => ({
    operation: 'upsert',
    item: item(`${n}`),
  }));
  const key = async (extra: Partial<StateStore>): Promise<string> => {
    const rig = blockRig([fakeStore({}, extra).component]);
    return (await refusal(createStateBlock(rig).transact('mem', operations, {}, rig.call))).key;
  };
  t.equal(await key({ features: ['ETAG'] }), 'stateTransactionsNotSupported');
  t.equal(await key({ maxTransactionOperations: 1 }), 'stateTooManyTransactions');
});

t.test('queries are refused', async (t) => {
  const rig = blockRig([fakeStore().component]);
  t.match(await refusal(createStateBlock(rig).query('mem', Buffer.of(), {}, rig.call)), {
    key: 'stateQueryNotSupported',
  });
});

t.test('values at rest: written under the first key, read under both', async (t) => {
  const key = (byte: number, bytes = 32): string => Buffer.alloc(bytes, byte).toString('hex');
  const store = (metadata: Readonly<Record<string, string>>, secretNames: Readonly<Record<string, string>>) =>
    fakeStore({ metadata, secretNames });
  const one = store({ primaryEncryptionKey: key(1) }, { primaryEncryptionKey: 'k1' });
  const rig = blockRig([one.component]);
  const block = createStateBlock(rig);
  await block.save('mem', [item('a', '"secret"')], rig.call);
  const stored = one.records.get('app||a') ?? '';
  t.match(stored, /^[A-Za-z0-9+/]+=*\|\|k1$/);
  t.notMatch(Buffer.from(stored.split('||')[0] ?? '', 'base64').toString('latin1'), /secret/);
  const text = async (at: ReturnType<typeof fakeStore>): Promise<string> => {
    const around = blockRig([at.component]);
    const found = await createStateBlock(around).get('mem', 'a', READ, around.call);
    return Buffer.from(found?.value ?? []).toString();
  };
  t.equal(await text(one), '"secret"');
  const rotated = store(
    { primaryEncryptionKey: key(2), secondaryEncryptionKey: key(1) },
    { primaryEncryptionKey: 'k2', secondaryEncryptionKey: 'k1' },
  );
  rotated.records.set('app||a', stored);
  t.equal(await text(rotated), '"secret"');
  const other = store({ primaryEncryptionKey: key(3) }, { primaryEncryptionKey: 'k3' });
  other.records.set('app||a', stored);
  t.match(await refusal(text(other)), { key: 'stateGet', message: /no encryption key named 'k1'/ });
  other.records.set('app||a', 'clear');
  t.match(await refusal(text(other)), { message: /not encrypted/ });
  one.records.set('app||a', `${stored.slice(0, 20)}${stored[20] === 'A' ? 'B' : 'A'}${stored.slice(21)}`);
  t.match(await refusal(text(one)), { key: 'stateGet', status: 500 });
});

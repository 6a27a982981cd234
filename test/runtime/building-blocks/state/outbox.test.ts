/** The outbox over the real publish and subscribe blocks: what is announced, what is published, and when. */

import t from 'tap';
import { createOutbox } from '../../../../runtime/building-blocks/state/outbox.ts';
import { createStateBlock } from '../../../../runtime/building-blocks/state/state.ts';
import type { StateBlock, StateTransactionOperation } from '../../../../runtime/contracts/blocks.ts';
import type { ComponentSource, LoadedComponent } from '../../../../runtime/contracts/component-source.ts';
import { RuntimeError } from '../../../../runtime/contracts/error.ts';
import {
  EtagError,
  type StateOperation,
  type StateStore,
} from '../../../../runtime/contracts/state-store.ts';
import { countingIds } from '../../../support/counting-ids.ts';
import { type Bench, bench, json } from '../pubsub/fixtures.ts';

const INTERNAL = 'nsappoutoutbox';
const NO_OPTIONS = { concurrency: '', consistency: '' };

interface Rig extends Bench {
  readonly state: StateBlock;
  readonly outbox: { start(): Promise<void>; close(): Promise<void> };
  readonly records: Map<string, string>;
  /** Thrown by the next transaction, before it writes. */
  failure: Error | undefined;
  /** Runs inside a transaction before it writes. */
  before: () => Promise<void>;
  transact(...operations: StateTransactionOperation[]): Promise<void>;
  /** Events on the public topic. */
  published(): Record<string, unknown>[];
  announced(): number;
  addStore(name: string, metadata: Record<string, string>): void;
  removeStore(name: string): void;
}

function rig(metadata: Record<string, string> = {}): Rig {
  const base = bench();
  const records = new Map<string, string>();
  const stores = new Map<string, LoadedComponent<'state'>>();
  const watchers = new Set<Parameters<ComponentSource['onChange']>[0]>();
  const apply = (operation: StateOperation): void => {
    if (operation.kind === 'delete') records.delete(operation.key);
    else records.set(operation.key, Buffer.from(operation.value.bytes).toString());
  };
  const store = {
    features: ['ETAG', 'TRANSACTIONAL'],
    get: async ({ key }) => {
      const value = records.get(key);
      return value === undefined ? undefined : { value: Buffer.from(value) };
    },
    set: async (request) => apply(request),
    delete: async (request) => apply(request),
    transact: async (operations) => {
      const { failure } = self;
      self.failure = undefined;
      if (failure !== undefined) throw failure;
      await self.before();
      operations.forEach(apply);
    },
    init: async () => {},
    close: async () => {},
  } satisfies StateStore;
  const addStore: Rig['addStore'] = (name, items) => {
    const component: LoadedComponent<'state'> = {
      name,
      category: 'state',
      type: 'state.fake',
      version: 'v1',
      metadata: items,
      capabilities: [],
      instance: store,
    };
    stores.set(name, component);
    for (const watcher of watchers) watcher({ kind: 'added', component });
  };
  const components: ComponentSource = {
    get: (category, name) =>
      category === 'state' ? (stores.get(name) as never) : base.components.get(category, name),
    list: (category) =>
      category === 'state' ? ([...stores.values()] as never) : base.components.list(category),
    onChange: (changed) => {
      watchers.add(changed);
      return () => void watchers.delete(changed);
    },
  };
  const outbox = createOutbox({
    appId: 'app',
    namespace: 'ns',
    components,
    messaging: { ...base.publish, subscribeInternal: base.subscriptions.subscribeInternal },
    clock: base.clock,
    ids: countingIds(),
    log: base.log,
  });
  const state = createStateBlock({
    appId: 'app',
    namespace: '',
    components,
    policies: base.policies,
    metrics: base.metrics,
    clock: base.clock,
    outbox,
  });
  const self: Rig = {
    ...base,
    state,
    outbox,
    records,
    failure: undefined,
    before: async () => {},
    transact: (...operations) => state.transact('s', operations, {}, base.call),
    published: () =>
      base.broker.published.filter(({ topic }) => topic === 'out').map(({ data }) => json(data)),
    announced: () => base.broker.published.filter(({ topic }) => topic === INTERNAL).length,
    addStore,
    removeStore: (name) => {
      const component = stores.get(name);
      stores.delete(name);
      if (component !== undefined) for (const watcher of watchers) watcher({ kind: 'removed', component });
    },
  };
  addStore('s', { outboxPublishPubsub: 'ps', outboxPublishTopic: 'out', ...metadata });
  return self;
}

function upsert(
  key: string,
  value: string,
  metadata: Record<string, string> = {},
  contentType?: string,
): StateTransactionOperation {
  const item = { key, value: { bytes: Buffer.from(value), json: true }, options: NO_OPTIONS, metadata };
  return { operation: 'upsert', item, ...(contentType === undefined ? {} : { contentType }) };
}
const remove = (key: string): StateTransactionOperation => ({
  operation: 'delete',
  item: { key, options: NO_OPTIONS, metadata: {} },
});

t.test('every upsert is published once it is written, without waiting', async (t) => {
  const r = rig();
  await r.outbox.start();
  await r.transact(
    upsert('a', '"one"'),
    remove('old'),
    upsert('b', '{"n":9007199254740993}'),
    upsert('c', '3'),
  );
  await r.clock.advance(0);
  t.match(r.published(), [
    { data: 'one', datacontenttype: 'text/plain', source: 'app', topic: 'out', pubsubname: 'ps' },
    { data: '{"n":9007199254740993}', datacontenttype: 'text/plain' },
    { data: '3' },
  ]);
  t.equal(new Set(r.published().map(({ id }) => id)).size, 3);
  t.match(r.published()[0]?.['id'], /^outbox-[0-9a-f-]{36}$/);
  t.strictSame(
    [...r.records],
    [
      ['app||a', '"one"'],
      ['app||b', '{"n":9007199254740993}'],
      ['app||c', '3'],
    ],
    'markers are gone',
  );
});

t.test('JSON stays JSON; metadata become attributes, except data and id', async (t) => {
  const r = rig();
  await r.outbox.start();
  await r.transact(
    upsert(
      'a',
      '{"n":1}',
      { type: 'placed', source: 'mine', extra: 'x', data: 'no', id: 'no' },
      'application/json',
    ),
    upsert('b', '[2]', { contentType: 'application/json; charset=utf-8' }),
    upsert('c', '"t"', { datacontenttype: 'application/json' }),
  );
  await r.clock.advance(0);
  t.match(r.published(), [
    { data: { n: 1 }, datacontenttype: 'application/json', type: 'placed', source: 'mine', extra: 'x' },
    { data: [2], contentType: 'application/json; charset=utf-8' },
    { data: 't', datacontenttype: 'application/json' },
  ]);
  t.not(r.published()[0]?.['id'], 'no');
});

t.test('projections replace the data of the event and are not written', async (t) => {
  const r = rig();
  await r.outbox.start();
  const projection = { 'outbox.projection': 'true' };
  await r.transact(
    upsert('a', '"shown a"', projection),
    upsert('a', '"kept a"', { extra: 'x' }),
    upsert('b', '"kept b"'),
    upsert('b', '{"shown":"b"}', projection, 'application/json'),
    upsert('nobody', '1', projection),
  );
  await r.clock.advance(0);
  t.match(r.published(), [{ data: 'shown a', extra: 'x' }, { data: { shown: 'b' } }]);
  t.strictSame([...r.records.values()], ['"kept a"', '"kept b"']);
});

t.test('a store without outbox and a plain save publish nothing', async (t) => {
  const r = rig();
  r.addStore('plain', { outboxPublishPubsub: 'ps' });
  await r.outbox.start();
  await r.state.transact('plain', [upsert('a', '1')], {}, r.call);
  const { item } = upsert('b', '1') as Extract<StateTransactionOperation, { operation: 'upsert' }>;
  await r.state.save('s', [item], r.call);
  await r.clock.advance(20_000);
  t.strictSame(r.broker.published, []);
});

t.test('what cannot be announced is not written', async (t) => {
  const r = rig();
  await r.outbox.start();
  r.broker.failPublish = (message) => (message.topic === INTERNAL ? new Error('broker is away') : undefined);
  const failure = await r.transact(upsert('a', '1')).catch((error) => error);
  t.ok(failure instanceof RuntimeError);
  t.match(failure, {
    key: 'outboxPublish',
    message: 'error while publishing outbox message: broker is away',
    options: { info: { appID: 'app', error: 'broker is away' } },
  });
  t.equal(r.records.size, 0);
});

t.test('a refused transaction publishes nothing and does not come again', async (t) => {
  const r = rig();
  await r.outbox.start();
  r.failure = new EtagError('mismatch');
  await t.rejects(r.transact(upsert('a', '1')), /possible etag mismatch/);
  await r.clock.advance(0);
  t.equal(r.announced(), 1);
  t.strictSame(r.published(), []);
  t.strictSame(r.broker.unacknowledged, []);
  t.equal(r.clock.pending, 0, 'nothing waits');
});

t.test('a store that failed may have written: its marker is looked for', async (t) => {
  const r = rig();
  await r.outbox.start();
  r.failure = new Error('connection lost');
  await t.rejects(r.transact(upsert('a', '1')));
  const event = r.broker.published[0];
  await r.clock.advance(1600);
  t.strictSame(r.published(), []);
  r.records.set(String(json(event?.data)['id']), '"0"');
  await r.clock.advance(1500);
  t.equal(r.published().length, 1);
  t.equal(r.records.size, 0);
});

t.test('events of other processes wait for their marker', async (t) => {
  const event = (id: string) => ({
    topic: INTERNAL,
    data: Buffer.from(JSON.stringify({ id, data: 1, specversion: '1.0', datacontenttype: 'x' })),
    metadata: {},
  });
  t.test('found after the first second', async (t) => {
    const r = rig();
    await r.outbox.start();
    r.records.set('outbox-1', '"0"');
    void r.broker.deliver(event('outbox-1'));
    await r.clock.advance(999);
    t.equal(r.published().length, 0);
    await r.clock.advance(1);
    t.match(r.published(), [{ id: 'outbox-1', data: 1, topic: 'out', pubsubname: 'ps' }]);
    t.equal(r.records.size, 0);
  });
  t.test('not found within 10 s: left with the broker', async (t) => {
    const r = rig();
    await r.outbox.start();
    void r.broker.deliver(event('outbox-1'));
    await r.clock.advance(10_000);
    t.match(r.broker.unacknowledged, [{ error: /state was not found/ }]);
  });
  t.test('not found within 10 s: discarded when the store says so', async (t) => {
    const r = rig({ outboxDiscardWhenMissingState: 'true' });
    await r.outbox.start();
    void r.broker.deliver(event('outbox-1'));
    await r.clock.advance(10_000);
    t.strictSame(r.broker.unacknowledged, []);
    t.match(r.lines.at(-1), { level: 'error', message: /discarded/ });
  });
  t.test('something else is dropped', async (t) => {
    const r = rig();
    await r.outbox.start();
    for (const text of ['{', '[]', '{"id":5}'])
      await r.broker.deliver({ topic: INTERNAL, data: Buffer.from(text), metadata: {} });
    t.strictSame(r.broker.unacknowledged, []);
    t.equal(r.clock.pending, 0);
  });
  t.test('closing ends the wait and leaves the event', async (t) => {
    const r = rig();
    await r.outbox.start();
    void r.broker.deliver(event('outbox-1'));
    await r.clock.advance(100);
    await r.outbox.close();
    t.match(r.broker.unacknowledged, [{ error: /closing/ }]);
    t.strictSame(r.broker.topics(), []);
  });
});

t.test('an event that could not be published comes again', async (t) => {
  const r = rig();
  await r.outbox.start();
  r.broker.failPublish = (message) => (message.topic === 'out' ? new Error('full') : undefined);
  await r.transact(upsert('a', '"v"'));
  await r.clock.advance(0);
  t.match(r.broker.unacknowledged, [{ error: /full/ }]);
  t.equal(r.records.size, 2, 'the marker stays');
  r.broker.failPublish = undefined;
  const again = r.broker.unacknowledged[0]?.message;
  if (again !== undefined) void r.broker.deliver(again);
  await r.clock.advance(1000);
  t.match(r.published(), [{ data: 'v' }]);
  t.equal(r.records.size, 1);
});

t.test('an event that arrives before the transaction is written waits for it', async (t) => {
  const r = rig();
  await r.outbox.start();
  r.before = () => r.clock.sleep(5000);
  const done = r.transact(upsert('a', '1'));
  await r.clock.advance(4000);
  t.equal(r.announced(), 1);
  t.strictSame(r.published(), []);
  await r.clock.advance(5000);
  await done;
  t.equal(r.published().length, 1);
});

t.test('stores come and go', async (t) => {
  const r = rig();
  await r.outbox.start();
  t.strictSame(r.broker.topics(), [INTERNAL]);
  r.addStore('t', { outboxPublishPubsub: 'ps', outboxPublishTopic: 'out' });
  await r.clock.advance(0);
  t.strictSame(r.broker.topics(), [INTERNAL], 'one subscription for both');
  r.removeStore('s');
  await r.clock.advance(0);
  t.strictSame(r.broker.topics(), [INTERNAL]);
  r.removeStore('t');
  await r.clock.advance(0);
  t.strictSame(r.broker.topics(), []);
  r.addStore('u', { outboxPublishPubsub: 'ps', outboxPublishTopic: 'o2', outboxPubsub: 'absent' });
  await r.clock.advance(0);
  t.match(r.lines.at(-1), { level: 'warn', message: /outbox pubsub absent not loaded/ });
});

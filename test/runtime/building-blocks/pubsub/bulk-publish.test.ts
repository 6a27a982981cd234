import t from 'tap';
import { mapConcurrently } from '../../../../runtime/building-blocks/pubsub/map-concurrently.ts';
import type { BulkPublishEntry } from '../../../../runtime/contracts/blocks.ts';
import { bench, json } from './fixtures.ts';

function entry(entryId: string, event: unknown, more: Partial<BulkPublishEntry> = {}): BulkPublishEntry {
  return { entryId, event: Buffer.from(JSON.stringify(event)), contentType: 'application/json', ...more };
}

t.test('every entry is wrapped on its own', async (t) => {
  const { publish, broker, call, metrics } = bench();
  const entries = [
    entry('1', { a: 1 }),
    entry('2', { id: 'own' }, { contentType: 'application/cloudevents+json' }),
    entry('3', 'x', { contentType: 'application/octet-stream' }),
  ];
  t.same(await publish.bulkPublish('ps', 't', entries, {}, call), { failedEntries: [] });
  t.match(
    broker.published.map((message) => json(message.data)),
    [{ data: { a: 1 }, source: 'app' }, { id: 'own', source: 'Dapr' }, { data_base64: 'Ingi' }],
  );
  t.equal(
    metrics.records.find((r) => r.name === 'component_pubsub_egress_bulk_count')?.labels['success'],
    'true',
  );
});

t.test('request metadata touch only entries that have metadata of their own', async (t) => {
  const { publish, broker, call } = bench();
  await publish.bulkPublish(
    'ps',
    't',
    [entry('1', 1), entry('2', 2, { metadata: { 'cloudevent.id': 'two' } })],
    { ttlInSeconds: '100', 'cloudevent.id': 'one' },
    call,
  );
  const [first, second] = broker.published.map((message) => json(message.data));
  t.notOk('expiration' in (first ?? {}));
  t.not(first?.['id'], 'one');
  t.match(second, { id: 'two', expiration: '2023-11-14T22:15:00Z' });
  t.same(broker.published[1]?.metadata, { ttlInSeconds: '100', 'cloudevent.id': 'two' });
});

t.test('raw applies to all, whatever an entry says', async (t) => {
  const { publish, broker, call } = bench();
  await publish.bulkPublish(
    'ps',
    't',
    [entry('1', { a: 1 }), entry('2', { b: 2 }, { metadata: { rawPayload: 'false' } })],
    { rawPayload: 'true' },
    call,
  );
  t.same(
    broker.published.map((message) => [json(message.data), message.metadata]),
    [
      [{ a: 1 }, {}],
      [{ b: 2 }, { rawPayload: 'false' }],
    ],
  );
});

t.test('ids must be there and differ', async (t) => {
  const { publish, broker, call } = bench();
  for (const entries of [[entry('1', 1), entry('1', 2)], [entry('', 1)]]) {
    await t.rejects(publish.bulkPublish('ps', 't', entries, {}, call), {
      key: 'pubsubMarshalEvents',
      message:
        'error marshaling events to bytes for topic t pubsub ps. error: entryId is duplicated or not present for entry',
    });
  }
  t.equal(broker.published.length, 0);
});

t.test('no entries, nothing to do', async (t) => {
  const { publish, call } = bench();
  t.same(await publish.bulkPublish('ps', 't', [], {}, call), { failedEntries: [] });
});

t.test('scopes refuse the whole call', async (t) => {
  const { publish, call } = bench({ component: { metadata: { allowedTopics: 'one' } } });
  await t.rejects(publish.bulkPublish('ps', 'four', [entry('1', 1)], {}, call), {
    message: 'topic four is not allowed for app id app',
  });
});

t.test('partial and whole failures', async (t) => {
  const { publish, broker, call } = bench();
  broker.failPublish = (message) => (json(message.data)['data'] === 2 ? new Error('no twos') : undefined);
  t.same(await publish.bulkPublish('ps', 't', [entry('a', 1), entry('b', 2)], {}, call), {
    failedEntries: [{ entryId: 'b', error: 'no twos' }],
  });
  broker.failPublish = () => new Error('away');
  t.same(await publish.bulkPublish('ps', 't', [entry('a', 1)], {}, call), {
    failedEntries: [{ entryId: 'a', error: 'away' }],
    error: 'away',
  });
});

t.test('a retry sends only what failed', async (t) => {
  const resiliency = {
    policies: { retries: { thrice: { policy: 'constant', duration: '10ms', maxRetries: 3 } } },
    targets: { components: { ps: { outbound: { retry: 'thrice' } } } },
  };
  const { publish, broker, call, clock } = bench({ resiliency });
  const tried: unknown[] = [];
  broker.failPublish = (message) => {
    const { data } = json(message.data);
    tried.push(data);
    return data === 2 && tried.length < 4 ? new Error('not yet') : undefined;
  };
  const running = publish.bulkPublish('ps', 't', [entry('a', 1), entry('b', 2)], {}, call);
  await clock.advance(100);
  t.same(await running, { failedEntries: [] });
  t.same(tried, [1, 2, 2, 2]);
});

t.test('the native bulk call of a component', async (t) => {
  const { publish, broker, call } = bench();
  let given: unknown;
  broker.bulkPublish = async (topic, entries, metadata) => {
    given = { topic, ids: entries.map((e) => e.entryId), metadata };
    return [{ entryId: 'b', error: new Error('full') }];
  };
  t.same(await publish.bulkPublish('ps', 't', [entry('a', 1), entry('b', 2)], { k: 'v' }, call), {
    failedEntries: [{ entryId: 'b', error: 'full' }],
  });
  t.same(given, { topic: 't', ids: ['a', 'b'], metadata: { k: 'v' } });
  broker.bulkPublish = async () => {
    throw new Error('away');
  };
  t.match(await publish.bulkPublish('ps', 't', [entry('a', 1), entry('b', 2)], {}, call), {
    failedEntries: [{ entryId: 'a', error: 'away' }, { entryId: 'b' }],
    error: 'away',
  });
});

t.test('a bound on how many run side by side', async (t) => {
  let [active, most] = [0, 0];
  const results = await mapConcurrently(
    Array.from({ length: 20 }, (_, i) => i),
    3,
    async (item) => {
      active += 1;
      most = Math.max(most, active);
      await Promise.resolve();
      active -= 1;
      return item * 2;
    },
  );
  t.equal(most, 3);
  t.same(
    results,
    Array.from({ length: 20 }, (_, i) => i * 2),
  );
});

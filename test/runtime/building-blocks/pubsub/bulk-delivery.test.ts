import t from 'tap';
import type { BulkTopicDelivery, DeliveryResult } from '../../../../runtime/contracts/app-channel.ts';
import type { BulkMessageHandler } from '../../../../runtime/contracts/pubsub.ts';
import { ZERO_TRACEPARENT } from '../../../../runtime/contracts/trace.ts';
import { bench, json, subscription } from './fixtures.ts';

const bulk = { enabled: true, maxMessagesCount: 3, maxAwaitDurationMs: 200 };
const retry: DeliveryResult = { kind: 'retry', error: new Error('again') };

function dataOf(delivery: BulkTopicDelivery | undefined): unknown[] {
  return (delivery?.entries ?? []).map(({ event }) =>
    event instanceof Uint8Array ? Buffer.from(event).toString() : event['data'],
  );
}

t.test('a batch as the app gets it', async (t) => {
  const { subscriptions, send, app } = bench({ subscribed: [subscription('t', { bulk })] });
  await subscriptions.start();
  for (const n of [1, 2, 3]) await send('t', n, { n: String(n) });
  t.equal(app.batches.length, 1);
  t.match(app.batches[0], {
    id: String,
    path: '/t',
    pubsubName: 'ps',
    topic: 't',
    metadata: { pubsubName: 'ps' },
    trace: { traceparent: ZERO_TRACEPARENT },
  });
  t.same(dataOf(app.batches[0]), [1, 2, 3]);
  t.match(app.batches[0]?.entries[0], {
    entryId: String,
    contentType: 'application/cloudevents+json',
    metadata: { n: '1' },
  });
  t.equal(new Set(app.batches[0]?.entries.map((entry) => entry.entryId)).size, 3);
});

t.test('raw entries are bytes', async (t) => {
  const { subscriptions, send, app, clock } = bench({
    subscribed: [subscription('t', { bulk, metadata: { rawPayload: 'true' } })],
  });
  await subscriptions.start();
  await send('t', 'x', { rawPayload: 'true' });
  await clock.advance(200);
  t.same(dataOf(app.batches[0]), ['x']);
  t.match(app.batches[0]?.entries[0], { contentType: '' });
  t.same(app.batches[0]?.trace, {});
});

t.test('one call per route, nothing for entries without one', async (t) => {
  const rules = [
    { match: 'event.data == 1', path: '/one' },
    { match: 'event.data == 2', path: '/two' },
  ];
  const { subscriptions, send, app, broker } = bench({
    subscribed: [subscription('t', { bulk, rules, deadLetterTopic: 'dead' })],
  });
  await subscriptions.start();
  for (const n of [1, 2, 7]) await send('t', n);
  t.same(
    app.batches.map((batch) => [batch.path, dataOf(batch)]),
    [
      ['/one', [1]],
      ['/two', [2]],
    ],
  );
  t.same(
    broker.published.slice(3).map((message) => [message.topic, json(message.data)['data']]),
    [['dead', 7]],
  );
  t.equal(broker.unacknowledged.length, 0);
});

t.test('verdicts per entry, with and without dead-letter topic', async (t) => {
  const run = async (deadLetterTopic: string) => {
    const { subscriptions, send, app, broker } = bench({
      subscribed: [subscription('t', { bulk, deadLetterTopic })],
    });
    app.answerBulk = () => [{ kind: 'success' }, retry, { kind: 'drop' }];
    await subscriptions.start();
    for (const n of ['ok', 'again', 'off']) await send('t', { n });
    const data = (bytes: Uint8Array) => (json(bytes)['data'] as { n: string }).n;
    return [
      broker.published.slice(3).map((m) => data(m.data)),
      broker.unacknowledged.map(({ message }) => data(message.data)),
    ];
  };
  t.same(await run('dead'), [['again', 'off'], []]);
  t.same(await run(''), [[], ['again']]);
});

t.test('an entry the app says nothing about, and an app that fails', async (t) => {
  const { subscriptions, send, app, broker, clock } = bench({ subscribed: [subscription('t', { bulk })] });
  app.answerBulk = () => [];
  await subscriptions.start();
  await send('t', 1);
  await clock.advance(200);
  t.match(broker.unacknowledged[0]?.error, { message: /response not received, RETRY required/ });
  app.answerBulk = () => {
    throw new Error('gone');
  };
  await send('t', 1);
  await clock.advance(200);
  t.match(broker.unacknowledged[1]?.error, { message: 'gone' });
});

t.test('a retry sends the failed entries only', async (t) => {
  const resiliency = {
    policies: { retries: { twice: { policy: 'constant', duration: '10ms', maxRetries: 2 } } },
    targets: { components: { ps: { inbound: { retry: 'twice' } } } },
  };
  const { subscriptions, send, app, broker, clock } = bench({
    resiliency,
    subscribed: [subscription('t', { bulk })],
  });
  app.answerBulk = (delivery) =>
    dataOf(delivery).map((n) => (n === 2 && app.batches.length < 3 ? retry : { kind: 'success' }));
  await subscriptions.start();
  for (const n of [1, 2, 3]) await send('t', n);
  await clock.advance(100);
  t.same(app.batches.map(dataOf), [[1, 2, 3], [2], [2]]);
  t.equal(broker.unacknowledged.length, 0);
});

t.test('messages that are no event do not hold up the others', async (t) => {
  const { subscriptions, send, app, broker } = bench({ subscribed: [subscription('t', { bulk })] });
  await subscriptions.start();
  await send('t', 'garbage', { rawPayload: 'true' });
  await send('t', 1);
  await send('t', 2);
  t.same(app.batches.map(dataOf), [[1, 2]]);
  t.equal(broker.unacknowledged.length, 1);
});

t.test('native batches of a component', async (t) => {
  const { subscriptions, app, broker, metrics } = bench({
    subscribed: [subscription('t', { bulk: { ...bulk, maxMessagesCount: 0 } })],
  });
  let handler: BulkMessageHandler | undefined;
  broker.bulkSubscribe = async (options, given) => {
    t.match(options, { topic: 't', maxMessages: 100, maxAwaitMs: 200 });
    handler = given;
    return { close: async () => {} };
  };
  app.answerBulk = () => [{ kind: 'success' }, retry];
  await subscriptions.start();
  const message = (data: string) => ({ topic: 't', data: Buffer.from(data), metadata: {} });
  const results = await handler?.(
    [message('{"data":1}'), message('x'), message('{"data":2}')],
    new AbortController().signal,
  );
  t.match(results, [undefined, Error, { message: 'again' }]);
  const events = metrics.records.filter((r) => r.name === 'component_pubsub_ingress_bulk_event_count');
  t.same(
    events.map((r) => [r.labels['process_status'], r.value]),
    [
      ['success', 1],
      ['retry', 2],
    ],
  );
});

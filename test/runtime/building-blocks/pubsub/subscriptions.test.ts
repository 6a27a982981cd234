import t from 'tap';
import type { DeliveryResult } from '../../../../runtime/contracts/app-channel.ts';
import type { StreamedEvent } from '../../../../runtime/contracts/blocks.ts';
import type { SubscriptionResource } from '../../../../runtime/contracts/resource.ts';
import { bench, fakeBroker, json, loaded, subscription } from './fixtures.ts';

function resource(
  name: string,
  topic: string,
  path: string,
  more: Partial<SubscriptionResource> = {},
): SubscriptionResource {
  return {
    ...subscription(topic, { rules: [{ match: '', path }] }),
    kind: 'Subscription',
    name,
    namespace: '',
    scopes: [],
    origin: { file: `${name}.yaml`, document: 1 },
    ...more,
  };
}

t.test('declarative and programmatic ones merge; the listing shows them as written', async (t) => {
  const declarative = [
    resource('a', 'one', '/first'),
    resource('b', 'one', '/second'),
    resource('c', 'two', 'declared'),
  ];
  const subscribed = [
    subscription('two', { rules: [{ match: '', path: 'no-slash' }] }),
    subscription('three'),
    subscription('three', { rules: [{ match: '', path: '/last' }] }),
    subscription('', { pubsubName: 'ps' }),
    subscription('x', { pubsubName: '' }),
    subscription('y', { pubsubName: 'absent' }),
    subscription('none', { rules: [] }),
    subscription('bad', { rules: [{ match: 'event.type ==', path: '/t' }] }),
  ];
  const { subscriptions, app, broker, lines, send } = bench({
    subscribed,
    more: { declarative: () => declarative },
  });
  t.same(
    subscriptions.list().map((s) => [s.topic, s.type]),
    [
      ['one', 'DECLARATIVE'],
      ['two', 'DECLARATIVE'],
    ],
  );
  await subscriptions.start();
  t.same(
    subscriptions.list().map((s) => [s.pubsubName, s.topic, s.type, s.rules[0]?.path]),
    [
      ['ps', 'one', 'DECLARATIVE', '/first'],
      ['ps', 'two', 'PROGRAMMATIC', 'no-slash'],
      ['ps', 'three', 'PROGRAMMATIC', '/last'],
      ['ps', '', 'PROGRAMMATIC', '/'],
      ['', 'x', 'PROGRAMMATIC', '/x'],
      ['absent', 'y', 'PROGRAMMATIC', '/y'],
    ],
  );
  t.same([...broker.topics()].sort(), ['one', 'three', 'two']);
  t.ok(lines.some((line) => line.level === 'error' && /'bad' of pubsub 'ps' is left out/.test(line.message)));
  for (const topic of ['one', 'two', 'three']) await send(topic, 1);
  t.same(
    app.events.map((event) => event.path),
    ['/first', '/no-slash', '/last'],
  );
});

t.test('without an app nothing is subscribed, but listed', async (t) => {
  const declarative = [resource('a', 'one', '/one')];
  const { subscriptions, broker } = bench({
    more: { declarative: () => declarative, appChannel: () => undefined },
  });
  await subscriptions.start();
  t.same(broker.topics(), []);
  t.equal(subscriptions.list().length, 1);
});

t.test('the app is asked once, and only when there is a pub/sub component', async (t) => {
  const { subscriptions, app, components, clock } = bench({ subscribed: [subscription('t')] });
  components.remove('ps');
  await subscriptions.start();
  t.equal(app.asked, 0);
  const later = fakeBroker();
  components.add(loaded('ps', later));
  await clock.advance(0);
  t.equal(app.asked, 1);
  t.same(later.topics(), ['t']);
  await subscriptions.pause();
  t.same(later.topics(), []);
  await subscriptions.resume();
  t.same(later.topics(), ['t']);
  t.equal(app.asked, 1);
});

t.test('the question can be turned off', async (t) => {
  const { subscriptions, app, lines } = bench({ subscribed: [subscription('t')], more: { askApp: false } });
  await subscriptions.start();
  await subscriptions.reload();
  t.equal(app.asked, 0);
  t.equal(lines.filter(({ message }) => message.startsWith('Skipping programmatic')).length, 1, 'told once');
});

t.test(
  'an app that cannot answer is asked again; its declarative subscriptions do not wait for ever',
  async (t) => {
    const declarative = [resource('a', 'one', '/one')];
    const { subscriptions, app, broker, clock } = bench({
      subscribed: [subscription('t')],
      more: { declarative: () => declarative },
    });
    app.failAsk = new Error('connection refused');
    const starting = subscriptions.start();
    await clock.advance(10_000);
    await starting;
    t.ok(app.asked >= 4, 'the built-in retries');
    t.same(broker.topics(), ['one']);
    app.failAsk = undefined;
    await clock.advance(60_000);
    t.same(broker.topics(), ['one', 't']);
  },
);

t.test('pausing ends the questions', async (t) => {
  const { subscriptions, app, clock } = bench();
  app.failAsk = new Error('connection refused');
  const starting = subscriptions.start();
  await clock.advance(100);
  await subscriptions.pause();
  await starting;
  const { asked } = app;
  await clock.advance(100_000);
  t.equal(app.asked, asked);
  t.equal(clock.pending, 0);
});

t.test('resources that come, change and go', async (t) => {
  let declarative: SubscriptionResource[] = [resource('a', 'one', '/one')];
  const { subscriptions, broker, app, send } = bench({ more: { declarative: () => declarative } });
  await subscriptions.start();
  declarative = [resource('a', 'one', '/changed'), resource('b', 'two', '/two')];
  await subscriptions.reload();
  t.same([...broker.topics()].sort(), ['one', 'two']);
  await send('one', 1);
  t.equal(app.events[0]?.path, '/changed');
  declarative = [resource('b', 'two', '/two')];
  await subscriptions.reload();
  t.same(broker.topics(), ['two']);
});

t.test('a component that is replaced gets the subscriptions', async (t) => {
  const { subscriptions, broker, components, clock } = bench({ subscribed: [subscription('t')] });
  await subscriptions.start();
  components.remove('ps');
  await clock.advance(0);
  t.same(broker.topics(), []);
  const next = fakeBroker();
  components.add(loaded('ps', next));
  await clock.advance(0);
  t.same(next.topics(), ['t']);
});

t.test('a component that refuses is tried again', async (t) => {
  const { subscriptions, broker, clock } = bench({ subscribed: [subscription('t')] });
  broker.failSubscribe = new Error('not connected');
  await subscriptions.start();
  t.same(broker.topics(), []);
  broker.failSubscribe = undefined;
  await clock.advance(500);
  t.same(broker.topics(), ['t']);
});

t.test('topics that are not allowed are left out, with one line', async (t) => {
  const { subscriptions, broker, lines } = bench({
    component: { metadata: { allowedTopics: 'one' } },
    subscribed: [subscription('one'), subscription('four')],
  });
  await subscriptions.start();
  await subscriptions.reload();
  t.same(broker.topics(), ['one']);
  t.equal(lines.filter((line) => /topic 'four' on pubsub 'ps' is not allowed/.test(line.message)).length, 1);
});

t.test('faults of declarative rules are named with their file', async (t) => {
  const declarative = [
    resource('ok', 'one', '/one'),
    resource('bad', 'two', '/two', { rules: [{ match: '(', path: '/' }] }),
  ];
  const { subscriptions, broker } = bench({ more: { declarative: () => declarative } });
  t.match(subscriptions.faults(), [
    /Subscription bad \(bad\.yaml document 1\): match expression '\(' is not valid CEL/,
  ]);
  await subscriptions.start();
  t.same(broker.topics(), ['one']);
});

t.test('closing waits for the delivery under way and does not dead-letter what it interrupts', async (t) => {
  const { subscriptions, app, broker, publish, call, clock } = bench({
    subscribed: [subscription('t', { deadLetterTopic: 'dead' })],
  });
  const { promise, resolve } = Promise.withResolvers<DeliveryResult>();
  app.answer = () => promise;
  await subscriptions.start();
  await publish.publish(
    { pubsubName: 'ps', topic: 't', data: Buffer.from('1'), contentType: '', metadata: {} },
    call,
  );
  await clock.advance(0);
  let closed = false;
  const closing = subscriptions.close().then(() => {
    closed = true;
  });
  await clock.advance(100);
  t.equal(closed, false);
  resolve({ kind: 'retry', error: new Error('shutting down') });
  await closing;
  t.equal(broker.published.length, 1, 'no dead letter');
  t.equal(broker.unacknowledged.length, 1);
  await subscriptions.start();
  t.same(broker.topics(), [], 'closed for good');
});

t.test('streaming subscriptions', async (t) => {
  const { subscriptions, broker, send } = bench();
  const events: StreamedEvent[] = [];
  const answers: DeliveryResult[] = [
    { kind: 'success' },
    { kind: 'drop' },
    { kind: 'retry', error: new Error('again') },
  ];
  const request = { pubsubName: 'ps', topic: 't', metadata: {}, deadLetterTopic: 'dead' };
  const stream = await subscriptions.subscribeStream(request, async (event) => {
    events.push(event);
    return answers.shift() ?? { kind: 'success' };
  });
  t.same(subscriptions.list(), [{ ...request, rules: [{ match: '', path: '/' }], type: 'STREAMING' }]);
  for (let n = 1; n < 4; n += 1) await send('t', n);
  t.match(events[0], { topic: 't', pubsubName: 'ps', envelope: { data: 1 }, metadata: { pubsubName: 'ps' } });
  t.same(
    broker.published.filter((m) => m.topic === 'dead').map((m) => json(m.data)['data']),
    [2, 3],
  );
  await subscriptions.pause();
  t.same(broker.topics(), ['t'], 'independent of app health');
  await stream.close();
  t.same(broker.topics(), []);
  t.same(subscriptions.list(), []);
});

t.test('streams that cannot be', async (t) => {
  const { subscriptions, broker, clock } = bench({ component: { metadata: { allowedTopics: 'one' } } });
  const deliver = async (): Promise<DeliveryResult> => ({ kind: 'success' });
  const subscribe = (pubsubName: string, topic: string) =>
    subscriptions.subscribeStream({ pubsubName, topic, metadata: {}, deadLetterTopic: '' }, deliver);
  await t.rejects(subscribe('nope', 't'), { message: 'pubsub nope is not found' });
  await t.rejects(subscribe('ps', 'four'), { message: /topic 'four' on pubsub 'ps' is not allowed/ });
  broker.failSubscribe = new Error('not connected');
  await t.rejects(subscribe('ps', 'one'), { message: 'failed to create subscription for ps: not connected' });
  await clock.advance(10_000);
  broker.failSubscribe = undefined;
  await clock.advance(100_000);
  t.same(broker.topics(), [], 'given up');
  t.same(subscriptions.list(), []);
  await subscriptions.close();
  await t.rejects(subscribe('ps', 'one'), { message: 'the sidecar is shutting down' });
});

t.test('a stream moves to the component that takes the place of its own', async (t) => {
  const { subscriptions, components, clock } = bench();
  await subscriptions.subscribeStream(
    { pubsubName: 'ps', topic: 't', metadata: {}, deadLetterTopic: '' },
    async () => ({ kind: 'success' }),
  );
  components.remove('ps');
  const next = fakeBroker();
  components.add(loaded('ps', next));
  await clock.advance(0);
  t.same(next.topics(), ['t']);
});

t.test('internal topics bypass the app', async (t) => {
  const { subscriptions, broker, publish, call, clock, app } = bench({
    component: { namespaceScoped: true },
    namespace: 'zone',
  });
  const seen: string[] = [];
  let fail = true;
  const internal = await subscriptions.subscribeInternal('ps', 'inner', async (message) => {
    seen.push(`${message.topic} ${Buffer.from(message.data)}`);
    if (fail) throw new Error('marker not found');
  });
  t.same(broker.topics(), ['zoneinner']);
  await publish.publishRaw('ps', { topic: 'inner', data: Buffer.from('x'), metadata: {} }, call.signal);
  await clock.advance(0);
  t.same(seen, ['inner x']);
  t.match(broker.unacknowledged[0]?.error, { message: 'marker not found' });
  fail = false;
  await publish.publishRaw('ps', { topic: 'inner', data: Buffer.from('y'), metadata: {} }, call.signal);
  await clock.advance(0);
  t.equal(broker.unacknowledged.length, 1);
  t.equal(app.events.length, 0);
  t.same(subscriptions.list(), []);
  await internal.close();
  t.same(broker.topics(), []);
});

t.test('a topic is opened again only after the attempt before has ended', async (t) => {
  const { subscriptions, broker, clock } = bench({ subscribed: [subscription('t')] });
  const { promise, resolve } = Promise.withResolvers<void>();
  const { subscribe } = broker;
  const order: string[] = [];
  broker.subscribe = async (options, handler) => {
    order.push('opening');
    await promise;
    const opened = await subscribe(options, handler);
    return {
      close: async () => {
        order.push('closed');
        await opened.close();
      },
    };
  };
  const starting = subscriptions.start();
  await clock.advance(0);
  await subscriptions.pause();
  const again = subscriptions.resume();
  await clock.advance(0);
  t.same(order, ['opening']);
  resolve();
  await Promise.all([starting, again]);
  t.same(order, ['opening', 'closed', 'opening']);
  t.same(broker.topics(), ['t']);
});

t.test('draining pauses the brokers that can, and leaves the subscriptions open', async (t) => {
  const { subscriptions, broker, app, send } = bench({ subscribed: [subscription('one')] });
  await subscriptions.start();
  await subscriptions.drain();
  let paused = 0;
  broker.pause = async () => {
    paused += 1;
  };
  await subscriptions.drain();
  t.equal(paused, 1);
  await send('one', 1);
  t.equal(app.events.length, 1);
});

import t from 'tap';
import type { DeliveryResult } from '../../../../runtime/contracts/app-channel.ts';
import { ZERO_TRACEPARENT } from '../../../../runtime/contracts/trace.ts';
import { bench, json, passiveTracer, subscription } from './fixtures.ts';

const TRACE = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
const retry: DeliveryResult = { kind: 'retry', error: new Error('app said no'), httpStatus: 500 };
const inbound = (policies: Record<string, unknown>, target: Record<string, string>) => ({
  policies,
  targets: { components: { ps: { inbound: target } } },
});
const thrice = inbound(
  { retries: { thrice: { policy: 'constant', duration: '50ms', maxRetries: 3 } } },
  { retry: 'thrice' },
);

t.test('what the app gets', async (t) => {
  const { subscriptions, send, app, broker } = bench({
    subscribed: [subscription('t', { rules: [{ match: '', path: 'no-slash' }] })],
  });
  await subscriptions.start();
  await send('t', { a: 1 }, { Priority: 'high' });
  t.equal(app.events.length, 1);
  t.match(app.events[0], {
    path: '/no-slash',
    pubsubName: 'ps',
    topic: 't',
    metadata: { Priority: 'high', pubsubName: 'ps' },
    trace: { traceparent: ZERO_TRACEPARENT },
    envelope: { data: { a: 1 }, source: 'app' },
  });
  t.equal(app.events[0]?.data, broker.published[0]?.data, 'the very bytes of the broker');
});

t.test('gRPC apps get the path as they declared it', async (t) => {
  const { subscriptions, send, app } = bench({
    subscribed: [subscription('t', { rules: [{ match: '', path: '' }] })],
  });
  Object.assign(app, { protocol: 'grpc' });
  await subscriptions.start();
  await send('t', 1);
  t.equal(app.events[0]?.path, '');
});

t.test('the trace of the envelope', async (t) => {
  const { subscriptions, send, app } = bench({ subscribed: [subscription('t')] });
  await subscriptions.start();
  const trace = async (event: unknown) => {
    await send('t', JSON.stringify(event), { rawPayload: 'true' });
    return app.events.at(-1)?.trace;
  };
  t.same(await trace({ traceparent: TRACE, traceid: 'x', tracestate: 'v=1' }), { traceparent: TRACE });
  t.same(await trace({ traceid: TRACE }), { traceparent: TRACE });
  t.same(await trace({ traceid: '' }), { traceparent: ZERO_TRACEPARENT });
  t.same(await trace({ traceid: null }), {});
  t.same(await trace({ traceid: 5, traceparent: 6 }), {});
  const off = bench({ subscribed: [subscription('t')], tracer: passiveTracer(false) });
  await off.subscriptions.start();
  await off.send('t', 1);
  t.same(off.app.events[0]?.trace, {});
});

t.test('replies of the app, without and with dead-letter topic', async (t) => {
  const run = async (answer: DeliveryResult | Error, deadLetterTopic: string) => {
    const { subscriptions, send, app, broker } = bench({
      subscribed: [subscription('t', { deadLetterTopic })],
    });
    app.answer = () => {
      if (answer instanceof Error) throw answer;
      return answer;
    };
    await subscriptions.start();
    await send('t', 1, { k: 'v' });
    return {
      calls: app.events.length,
      dead: broker.published.slice(1),
      original: broker.published[0],
      nacked: broker.unacknowledged.length,
    };
  };
  t.match(await run({ kind: 'success' }, ''), { calls: 1, dead: [], nacked: 0 });
  t.match(await run({ kind: 'drop' }, ''), { calls: 1, dead: [], nacked: 0 });
  t.match(await run({ kind: 'drop', final: true }, 'dead'), { calls: 1, dead: [], nacked: 0 });
  t.match(await run(retry, ''), { calls: 1, dead: [], nacked: 1 });
  t.match(await run(new Error('socket hang up'), ''), { calls: 1, dead: [], nacked: 1 });
  for (const answer of [retry, { kind: 'drop' } as const, new Error('socket hang up')]) {
    const { dead, nacked, original } = await run(answer, 'dead');
    t.equal(nacked, 0);
    t.equal(dead.length, 1);
    t.match(dead[0], {
      topic: 'dead',
      metadata: { k: 'v', pubsubName: 'ps' },
      contentType: 'application/cloudevents+json',
    });
    t.same(dead[0]?.data, original?.data);
  }
});

t.test('a dead-letter topic that fails leaves the message to the broker', async (t) => {
  for (const answer of [retry, { kind: 'drop' } as const]) {
    const { subscriptions, send, app, broker } = bench({
      subscribed: [subscription('t', { deadLetterTopic: 'dead' })],
    });
    app.answer = () => answer;
    broker.failPublish = (message) => (message.topic === 'dead' ? new Error('full') : undefined);
    await subscriptions.start();
    await send('t', 1);
    t.equal(broker.unacknowledged.length, 1, answer.kind);
  }
});

t.test('a dead-letter topic that hangs is given up after 30 s', async (t) => {
  const { subscriptions, send, app, broker, clock } = bench({
    subscribed: [subscription('t', { deadLetterTopic: 'dead' })],
  });
  app.answer = () => retry;
  await subscriptions.start();
  const publish = broker.publish;
  broker.publish = (message, signal) =>
    message.topic === 'dead' ? new Promise(() => {}) : publish(message, signal);
  await send('t', 1);
  await clock.advance(29_999);
  t.equal(broker.unacknowledged.length, 0);
  await clock.advance(1);
  t.equal(broker.unacknowledged.length, 1);
});

t.test('messages that are no event, are late, or match nothing', async (t) => {
  const run = async (body: string, rules: { match: string; path: string }[], deadLetterTopic: string) => {
    const { subscriptions, send, app, broker } = bench({
      subscribed: [subscription('t', { deadLetterTopic, rules })],
    });
    await subscriptions.start();
    await send('t', body, { rawPayload: 'true' });
    return [app.events.length, broker.published.length - 1, broker.unacknowledged.length];
  };
  const any = [{ match: '', path: '/t' }];
  const typed = [{ match: 'event.type == "a"', path: '/t' }];
  t.same(await run('not json', any, ''), [0, 0, 1], 'not JSON: nack');
  t.same(await run('not json', any, 'dead'), [0, 1, 0]);
  t.same(await run('{"expiration":"2001-01-01T00:00:00Z"}', any, ''), [0, 0, 0], 'late: acknowledged');
  t.same(await run('{"expiration":"2001-01-01T00:00:00Z"}', any, 'dead'), [0, 1, 0]);
  t.same(await run('{"type":"b"}', typed, ''), [0, 0, 0], 'no match: acknowledged');
  t.same(await run('{"type":"b"}', typed, 'dead'), [0, 1, 0]);
  t.same(await run('{"a":1}', typed, ''), [0, 0, 1], 'rule fails: nack');
  t.same(await run('{"a":1}', typed, 'dead'), [0, 1, 0]);
  t.same(await run('{"type":"a"}', typed, ''), [1, 0, 0]);
});

t.test('inbound retries, then the dead letter', async (t) => {
  const { subscriptions, send, app, broker, clock } = bench({
    resiliency: thrice,
    subscribed: [subscription('t', { deadLetterTopic: 'dead' })],
  });
  app.answer = () => retry;
  await subscriptions.start();
  await send('t', 1);
  await clock.advance(1000);
  t.equal(app.events.length, 4);
  t.equal(broker.published.at(-1)?.topic, 'dead');
});

t.test('inbound retries end with the first success; a drop is not retried', async (t) => {
  const answers: DeliveryResult[] = [
    retry,
    { kind: 'retry', error: new Error('RETRY') },
    { kind: 'success' },
  ];
  const { subscriptions, send, app, broker, clock } = bench({
    resiliency: thrice,
    subscribed: [subscription('t'), subscription('d')],
  });
  app.answer = ({ topic }) => (topic === 'd' ? { kind: 'drop' } : (answers.shift() ?? retry));
  await subscriptions.start();
  await send('t', 1);
  await clock.advance(1000);
  t.equal(app.events.length, 3);
  await send('d', 1);
  await clock.advance(1000);
  t.equal(app.events.length, 4);
  t.equal(broker.unacknowledged.length, 0);
});

t.test('matching lists decide by the status of the answer', async (t) => {
  const matching = inbound(
    {
      retries: {
        only: { policy: 'constant', duration: '1ms', maxRetries: 2, matching: { httpStatusCodes: '503' } },
      },
    },
    { retry: 'only' },
  );
  const { subscriptions, send, app, clock } = bench({
    resiliency: matching,
    subscribed: [subscription('t')],
  });
  await subscriptions.start();
  const calls = async (answer: DeliveryResult) => {
    app.events.length = 0;
    app.answer = () => answer;
    await send('t', 1);
    await clock.advance(100);
    return app.events.length;
  };
  t.equal(await calls({ kind: 'retry', error: new Error('x'), httpStatus: 503 }), 3);
  t.equal(await calls({ kind: 'retry', error: new Error('x'), httpStatus: 500 }), 1);
  t.equal(
    await calls({ kind: 'retry', error: new Error('RETRY'), httpStatus: 200 }),
    3,
    'a RETRY in a 200 has no status',
  );
});

t.test('a timeout of the policy aborts the call to the app', async (t) => {
  const brief = inbound({ timeouts: { brief: '250ms' } }, { timeout: 'brief' });
  const { subscriptions, send, app, broker, clock } = bench({
    resiliency: brief,
    subscribed: [subscription('t')],
  });
  let given: AbortSignal | undefined;
  app.answer = (_delivery, signal) => {
    given = signal;
    return new Promise(() => {});
  };
  await subscriptions.start();
  await send('t', 1);
  await clock.advance(250);
  t.equal(given?.aborted, true);
  t.match(broker.unacknowledged[0]?.error, { message: 'context deadline exceeded' });
});

t.test('an open breaker keeps other topics of the component away as well', async (t) => {
  const quick = inbound(
    { circuitBreakers: { quick: { trip: 'consecutiveFailures > 1' } } },
    { circuitBreaker: 'quick' },
  );
  const { subscriptions, send, app, broker } = bench({
    resiliency: quick,
    subscribed: [subscription('trip'), subscription('calm')],
  });
  app.answer = ({ topic }) => (topic === 'trip' ? retry : { kind: 'success' });
  await subscriptions.start();
  for (const topic of ['trip', 'trip', 'trip', 'calm']) await send(topic, 1);
  t.equal(app.events.length, 2);
  t.match(broker.unacknowledged.at(-1)?.error, { message: 'circuit breaker is open' });
});

t.test('a namespace-scoped component', async (t) => {
  const { subscriptions, send, app, broker } = bench({
    component: { namespaceScoped: true },
    namespace: 'zone',
    subscribed: [subscription('t', { metadata: { rawPayload: 'true' } })],
  });
  await subscriptions.start();
  t.same(broker.topics(), ['zonet']);
  await send('t', 'x');
  t.equal(app.events[0]?.topic, 't');
  t.equal(json(app.events[0]?.data)['topic'], 't');
});

t.test('metrics', async (t) => {
  const { subscriptions, send, app, metrics } = bench({ subscribed: [subscription('t')] });
  const answers: DeliveryResult[] = [{ kind: 'success' }, { kind: 'drop' }, retry];
  app.answer = () => answers.shift() ?? retry;
  await subscriptions.start();
  for (let i = 0; i < 3; i += 1) await send('t', 1);
  const seen = metrics.records
    .filter((r) => r.name === 'component_pubsub_ingress_count')
    .map((r) => [r.labels['process_status'], r.labels['status']]);
  t.same(seen, [
    ['success', 'success'],
    ['drop', 'success'],
    ['retry', 'retry'],
    ['retry', 'retry'],
  ]);
  t.equal(metrics.records.filter((r) => r.name === 'component_pubsub_ingress_latencies').length, 3);
});

t.test('metrics tell an unknown route from a drop that was asked for', async (t) => {
  const { subscriptions, send, app, metrics } = bench({ subscribed: [subscription('t')] });
  app.answer = () => ({ kind: 'drop', unknown: true });
  await subscriptions.start();
  await send('t', 1);
  t.match(
    metrics.records.filter((r) => r.name === 'component_pubsub_ingress_count').map((r) => r.labels),
    [{ process_status: 'drop', status: 'drop' }],
  );
});

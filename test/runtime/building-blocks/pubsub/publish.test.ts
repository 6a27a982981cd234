import t from 'tap';
import type { RuntimeError } from '../../../../runtime/contracts/error.ts';
import { GrpcCode } from '../../../../runtime/contracts/grpc-code.ts';
import { RemoteError } from '../../../../runtime/contracts/remote-error.ts';
import { ZERO_TRACEPARENT } from '../../../../runtime/contracts/trace.ts';
import { bench, fakeSpan, json, passiveTracer } from './fixtures.ts';

const TRACE = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';

async function failure(run: () => Promise<unknown>): Promise<RuntimeError> {
  try {
    await run();
  } catch (error) {
    return error as RuntimeError;
  }
  throw new Error('expected a rejection');
}

t.test('the envelope of a JSON message, member by member and in order', async (t) => {
  const { send, broker } = bench();
  await send('orders', { order: 1 });
  t.equal(
    Buffer.from(broker.published[0]?.data ?? []).toString(),
    '{"data":{"order":1},"datacontenttype":"application/json","id":"00000000-0000-4000-8000-000000000001",' +
      '"pubsubname":"ps","source":"app","specversion":"1.0","time":"2023-11-14T22:13:20Z","topic":"orders",' +
      '"traceid":"","traceparent":"","tracestate":"","type":"com.dapr.event.sent"}',
  );
  t.match(broker.published[0], {
    topic: 'orders',
    contentType: 'application/cloudevents+json',
    metadata: {},
  });
});

t.test('data by content type', async (t) => {
  const { send, broker } = bench();
  const data = async (body: string, contentType: string) => {
    await send('t', body, {}, contentType);
    const { data, data_base64, datacontenttype } = json(broker.published.at(-1)?.data);
    return data_base64 === undefined ? [data, datacontenttype] : [{ base64: data_base64 }, datacontenttype];
  };
  t.same(await data('"hello"', 'application/json'), ['hello', 'application/json']);
  t.same(await data('null', 'Application/JSON; charset=utf-8'), [null, 'Application/JSON; charset=utf-8']);
  t.same(await data('{broken', 'application/json'), ['{broken', 'application/json']);
  t.same(await data('', 'application/json'), ['', 'application/json']);
  t.same(await data('{"a":1}', 'application/vnd.acme+json'), ['{"a":1}', 'application/vnd.acme+json']);
  t.same(await data('hi <b> "you"', ''), ['hi <b> "you"', 'text/plain']);
  t.same(await data('zzzz', 'application/x-protobuf'), ['zzzz', 'application/x-protobuf']);
  t.same(await data('abc', 'application/octet-stream'), [{ base64: 'YWJj' }, 'application/octet-stream']);
  t.same(await data('abc', 'application/cloudevents+protobuf'), [
    { base64: 'YWJj' },
    'application/cloudevents+protobuf',
  ]);
});

t.test('numbers of any size stay as written, in data and in events of the caller', async (t) => {
  const { send, broker } = bench();
  await send('t', '{"n":9007199254740993}', {}, 'application/json');
  t.match(Buffer.from(broker.published[0]?.data ?? []).toString(), /"data":\{"n":9007199254740993\}/);
  await send('t', '{"data":{"n":9007199254740993},"big":1e400}', {}, 'application/cloudevents+json');
  t.match(
    Buffer.from(broker.published[1]?.data ?? []).toString(),
    /"data":\{"n":9007199254740993\},"big":1e400/,
  );
});

t.test('text that is not UTF-8 gets replacement characters', async (t) => {
  const { publish, broker, call } = bench();
  const data = Uint8Array.from([0x61, 0xff, 0x62]);
  await publish.publish(
    { pubsubName: 'ps', topic: 't', data, contentType: 'text/plain', metadata: {} },
    call,
  );
  t.equal(json(broker.published[0]?.data)['data'], 'a\ufffdb');
});

t.test('the trace of the caller', async (t) => {
  const { publish, broker, call } = bench();
  const send = (span: ReturnType<typeof fakeSpan>) =>
    publish.publish(
      { pubsubName: 'ps', topic: 't', data: Buffer.from('1'), contentType: 'application/json', metadata: {} },
      { ...call, span },
    );
  await send(fakeSpan({ traceparent: TRACE, tracestate: 'vendor=1' }));
  t.match(json(broker.published[0]?.data), { traceid: TRACE, traceparent: TRACE, tracestate: 'vendor=1' });
  await send(fakeSpan({ traceparent: ZERO_TRACEPARENT }));
  t.match(json(broker.published[1]?.data), { traceid: '', traceparent: '', tracestate: '' });
  const off = bench({ tracer: passiveTracer(false) });
  await off.publish.publish(
    { pubsubName: 'ps', topic: 't', data: Buffer.from('1'), contentType: '', metadata: {} },
    { ...off.call, span: fakeSpan({ traceparent: TRACE }) },
  );
  t.match(json(off.broker.published[0]?.data), { traceid: '', traceparent: '' });
});

t.test('cloudevent.* metadata sets attributes, some cannot be set', async (t) => {
  const { send, broker } = bench();
  const own = {
    'cloudevent.id': 'i',
    'CloudEvent.Source': 's',
    'cloudevent.type': 'y',
    'cloudevent.subject': 'b',
    'cloudevent.traceid': 'x',
    'cloudevent.traceparent': TRACE,
    'cloudevent.tracestate': 'k=v',
  };
  await send('t', 1, own);
  t.match(json(broker.published[0]?.data), {
    id: 'i',
    source: 's',
    type: 'y',
    subject: 'b',
    traceid: TRACE,
    traceparent: TRACE,
    tracestate: 'k=v',
    data: 1,
  });
  t.same(broker.published[0]?.metadata, own, 'the component gets them as well');
  await send('t', 1, {
    'cloudevent.data': '2',
    'cloudevent.topic': 'x',
    'cloudevent.specversion': '9',
    'cloudevent.mine': 'x',
    'cloudevent.traceid': TRACE,
  });
  const refused = json(broker.published[1]?.data);
  t.match(refused, { data: 1, topic: 't', specversion: '1.0', traceid: TRACE, traceparent: TRACE });
  t.notOk('mine' in refused);
});

t.test('events of the caller keep their own, gaps are filled', async (t) => {
  const { send, broker } = bench();
  const publish = async (event: unknown) => {
    await send(
      't',
      JSON.stringify(event),
      { 'cloudevent.id': 'ignored' },
      'application/cloudevents+json; charset=UTF-8',
    );
    return json(broker.published.at(-1)?.data);
  };
  t.same(await publish({ data: 'd' }), {
    data: 'd',
    time: '2023-11-14T22:13:20Z',
    traceid: '',
    traceparent: '',
    tracestate: '',
    source: 'Dapr',
    type: 'com.dapr.event.sent',
    specversion: '1.0',
    topic: 't',
    pubsubname: 'ps',
  });
  t.match(await publish({ id: 'own', source: 's', topic: 'lie', pubsubname: 'lie', extra: [1], time: 'x' }), {
    id: 'own',
    source: 's',
    topic: 't',
    pubsubname: 'ps',
    extra: [1],
    time: 'x',
  });
  const nulls = await publish({
    id: null,
    source: null,
    type: null,
    specversion: null,
    time: null,
    traceid: null,
    tracestate: null,
  });
  t.same(nulls, {
    id: null,
    source: 'Dapr',
    type: 'com.dapr.event.sent',
    specversion: '1.0',
    time: null,
    traceid: null,
    tracestate: null,
    topic: 't',
    pubsubname: 'ps',
  });
  const own = await publish({ traceparent: TRACE });
  t.match(own, { traceid: '', traceparent: '' }, 'both hang on traceid');
});

t.test('a declared event that is none', async (t) => {
  const { send, broker } = bench();
  for (const body of ['{broken', '[]', '"x"', '', 'null']) {
    const error = await failure(() => send('t', body, {}, 'application/cloudevents+json'));
    t.match(error, { key: 'pubsubCloudEvent', httpStatus: 500, message: 'cannot create cloudevent' }, body);
    t.match(error.details.at(-1), {
      reason: 'DAPR_PUBSUB_CLOUD_EVENT_CREATION',
      metadata: { appID: 'app', error: String },
    });
  }
  t.equal(broker.published.length, 0);
});

t.test('raw payload', async (t) => {
  const { send, broker, publish, call } = bench();
  await send('t', 'bytes', { rawPayload: 'T', x: 'y' });
  t.match(broker.published[0], { metadata: { rawPayload: 'T', x: 'y' } });
  t.equal(Buffer.from(broker.published[0]?.data ?? []).toString(), 'bytes');
  t.equal(broker.published[0]?.contentType, undefined);
  await send('t', 'text', { rawPayload: '' });
  t.equal(json(broker.published[1]?.data)['data'], 'text');
  const grpc = { ...call, protocol: 'grpc' as const, span: fakeSpan({ traceparent: TRACE }) };
  await publish.publish(
    { pubsubName: 'ps', topic: 't', data: new Uint8Array(), contentType: '', metadata: { rawPayload: '1' } },
    grpc,
  );
  t.same(broker.published[2]?.metadata, { rawPayload: '1', traceid: TRACE, tracestate: '' });
});

t.test('time to live', async (t) => {
  const { send, broker } = bench();
  await send('t', 1, { ttlInSeconds: '100' });
  t.equal(json(broker.published[0]?.data)['expiration'], '2023-11-14T22:15:00Z');
  await send('t', '{"expiration":"2001-01-01T00:00:00Z"}', { ttl: '100s' }, 'application/cloudevents+json');
  t.equal(json(broker.published[1]?.data)['expiration'], '2023-11-14T22:15:00Z');
  broker.features.push('MESSAGE_TTL');
  await send('t', 1, { ttlInSeconds: '100' });
  t.notOk('expiration' in json(broker.published[2]?.data), 'the broker looks after it');
});

t.test('checks in order', async (t) => {
  const { publish } = bench({ component: { metadata: { allowedTopics: 'one' } } });
  const check = (name: string, topic: string, metadata: Record<string, string> = {}) =>
    failure(async () => publish.check(name, topic, metadata));
  t.match(await check('', '', { a: 'b' }), { key: 'pubsubNameEmpty', message: 'pubsub name is empty' });
  const missing = await check('nope', '', { a: 'b', rawPayload: 'x' });
  t.match(missing, { key: 'pubsubNotFound', httpStatus: 404, message: 'pubsub nope is not found' });
  t.same(missing.details, [
    { kind: 'ErrorInfo', reason: 'DAPR_PUBSUB_NOT_FOUND', metadata: { a: 'b', rawPayload: 'x' } },
  ]);
  t.match(await check('ps', '', { rawPayload: 'x' }), { key: 'pubsubTopicEmpty' });
  const raw = await check('ps', 'four', { rawPayload: 'yes' });
  t.match(raw, {
    httpStatus: 400,
    message:
      "failed deserializing metadata. Error: rawPayload value must be a valid boolean: actual is 'yes'",
  });
  t.match(raw.details.at(-1), { metadata: { rawPayload: 'yes' } });
});

t.test('a topic that is not allowed', async (t) => {
  const { send, broker } = bench({ component: { metadata: { allowedTopics: 'one' } } });
  const error = await failure(() => send('four', 1));
  t.match(error, { httpStatus: 403, message: 'topic four is not allowed for app id app' });
  t.match(error.details.at(-1), {
    metadata: { topic: 'four', error: 'topic four is not allowed for app id app' },
  });
  await send('one', 1);
  t.equal(broker.published.length, 1);
});

t.test('a namespace-scoped component gets prefixed topics, the envelope the plain name', async (t) => {
  const { send, broker } = bench({ component: { namespaceScoped: true }, namespace: 'zone' });
  await send('t', 1);
  t.equal(broker.published[0]?.topic, 'zonet');
  t.equal(json(broker.published[0]?.data)['topic'], 't');
});

t.test('a component failure, retried as the policy says', async (t) => {
  const resiliency = {
    policies: { retries: { once: { policy: 'constant', duration: '10ms', maxRetries: 1 } } },
    targets: { components: { ps: { outbound: { retry: 'once' } } } },
  };
  const { publish, broker, call, clock, metrics } = bench({ resiliency });
  let calls = 0;
  broker.failPublish = () => {
    calls += 1;
    return new Error('broker away');
  };
  const running = failure(() =>
    publish.publish(
      { pubsubName: 'ps', topic: 't', data: new Uint8Array(), contentType: '', metadata: {} },
      call,
    ),
  );
  await clock.advance(100);
  const error = await running;
  t.match(error, {
    key: 'pubsubPublish',
    httpStatus: 500,
    message: 'error when publishing to topic t in pubsub ps: broker away',
  });
  t.match(error.details.at(-1), { metadata: { topic: 't', error: 'broker away' } });
  t.equal(calls, 2);
  t.match(
    metrics.records.find((r) => r.name === 'component_pubsub_egress_count'),
    { labels: { component: 'ps', namespace: 'default', success: 'false', topic: 't' } },
  );
});

t.test('a status of the component is retried when the list of the caller has it', async (t) => {
  const matching = { httpStatusCodes: '503', gRPCStatusCodes: '8' };
  const resiliency = {
    policies: { retries: { once: { policy: 'constant', duration: '10ms', maxRetries: 1, matching } } },
    targets: { components: { ps: { outbound: { retry: 'once' } } } },
  };
  const { publish, broker, call, clock } = bench({ resiliency });
  const attempts = async (code: number, protocol: 'http' | 'grpc'): Promise<number> => {
    let calls = 0;
    broker.failPublish = () => {
      calls += 1;
      return new RemoteError(code, 'no');
    };
    const message = { pubsubName: 'ps', topic: 't', data: new Uint8Array(), contentType: '', metadata: {} };
    const running = failure(() => publish.publish(message, { ...call, protocol }));
    await clock.advance(100);
    await running;
    return calls;
  };
  t.equal(await attempts(GrpcCode.Unavailable, 'http'), 2, 'as 503');
  t.equal(await attempts(GrpcCode.Unavailable, 'grpc'), 1);
  t.equal(await attempts(GrpcCode.ResourceExhausted, 'grpc'), 2);
  t.equal(await attempts(GrpcCode.ResourceExhausted, 'http'), 1, 'as 429');
});

t.test('publishRaw sends bytes as they are, under scopes', async (t) => {
  const { publish, broker, call } = bench({ component: { metadata: { protectedTopics: 'p' } } });
  await publish.publishRaw('ps', { topic: 't', data: Buffer.from('x'), metadata: { a: 'b' } }, call.signal);
  t.match(broker.published[0], { topic: 't', metadata: { a: 'b' } });
  t.equal(
    (
      await failure(() =>
        publish.publishRaw('ps', { topic: 'p', data: new Uint8Array(), metadata: {} }, call.signal),
      )
    ).key,
    'pubsubForbidden',
  );
  t.equal(
    (
      await failure(() =>
        publish.publishRaw('x', { topic: 't', data: new Uint8Array(), metadata: {} }, call.signal),
      )
    ).message,
    "pubsub 'x' not found",
  );
});

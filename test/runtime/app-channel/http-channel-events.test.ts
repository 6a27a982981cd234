import t from 'tap';
import { openHttpChannel } from '../../support/http-channel-rig.ts';

const signal = new AbortController().signal;
const ZERO = '00-00000000000000000000000000000000-0000000000000000-00';

t.test('questions at start', async (t) => {
  const answers: Record<string, [number, string]> = {
    '/dapr/config': [200, '{"entities":[]}'],
    '/dapr/subscribe': [200, '[{"pubsubname":"ps","topic":"t","route":"r"}]'],
  };
  const { app, channel } = await openHttpChannel(t, ({ url }, response) => {
    const [status, body] = answers[url] ?? [404, ''];
    response.writeHead(status).end(body);
  });
  t.same(await channel.configuration(signal), { entities: [] });
  t.match(await channel.subscriptions(signal), [
    { pubsubName: 'ps', topic: 't', rules: [{ match: '', path: 'r' }] },
  ]);
  for (const { headers } of app.requests) {
    t.same(
      { ...headers, host: '', connection: '' },
      { host: '', connection: '', 'content-type': 'application/json', 'dapr-app-id': 'me' },
    );
  }
  answers['/dapr/config'] = [404, ''];
  answers['/dapr/subscribe'] = [404, ''];
  t.equal(await channel.configuration(signal), undefined);
  t.same(await channel.subscriptions(signal), []);
  answers['/dapr/subscribe'] = [200, 'nothing here'];
  t.same(await channel.subscriptions(signal), []);
  answers['/dapr/subscribe'] = [500, ''];
  await t.rejects(
    channel.subscriptions(signal),
    { message: /status code 500/ },
    'a server error may pass and is asked again',
  );
});

t.test('an event: exact request, and what the answer means', async (t) => {
  let answer: [number, string] = [200, ''];
  const { app, channel } = await openHttpChannel(t, (_request, response) =>
    response.writeHead(answer[0]).end(answer[1]),
  );
  const delivery = {
    path: 'no-slash',
    envelope: { id: '1' },
    data: Buffer.from('{"id":"1"}'),
    pubsubName: 'ps',
    topic: 't',
    metadata: { Priority: 'high', 'content-type': 'x', who: 'Zoë' },
    trace: { traceparent: ZERO },
  };
  t.same(await channel.deliverEvent(delivery, signal), { kind: 'success' });
  t.match(app.requests[0], { method: 'POST', url: '/no-slash', body: '{"id":"1"}' });
  t.same(
    { ...app.requests[0]?.headers, host: '', connection: '', 'content-length': '' },
    {
      host: '',
      connection: '',
      'content-length': '',
      'content-type': 'application/cloudevents+json',
      priority: 'high',
      pubsubname: 'ps',
      traceparent: ZERO,
      who: Buffer.from('Zoë').toString('latin1'),
    },
  );
  const kind = async (status: number, body: string) => {
    answer = [status, body];
    return (await channel.deliverEvent(delivery, signal)).kind;
  };
  t.equal(await kind(200, '{"status":"SUCCESS"}'), 'success');
  t.equal(await kind(200, '{"status":1}'), 'success');
  t.equal(await kind(202, '{"status":"RETRY"}'), 'retry');
  t.equal(await kind(200, '{"status":"success"}'), 'retry');
  t.equal(await kind(200, '{"status":"DROP"}'), 'drop');
  t.equal(await kind(404, ''), 'drop');
  answer = [503, 'busy'];
  t.match(await channel.deliverEvent(delivery, signal), {
    kind: 'retry',
    httpStatus: 503,
    error: { message: /body: busy. status code returned: 503$/ },
  });
});

t.test('a batch: exact request, and results by entry', async (t) => {
  let answer: [number, string] = [
    200,
    '{"statuses":[{"entryId":"b","status":"DROP"},{"entryId":"a","status":"SUCCESS"}]}',
  ];
  const { app, channel } = await openHttpChannel(t, (_request, response) =>
    response.writeHead(answer[0]).end(answer[1]),
  );
  const entry = (entryId: string, event: object | Uint8Array) => ({
    entryId,
    event: event as never,
    contentType: 'c',
    metadata: { m: '1' },
  });
  const delivery = {
    id: 'id',
    path: '/b',
    entries: [entry('a', { id: '1' }), entry('b', Buffer.from('x')), entry('c', {})],
    pubsubName: 'ps',
    topic: 't',
    metadata: { pubsubName: 'ps' },
    trace: {},
  };
  t.match(await channel.deliverBulk(delivery, signal), [
    { kind: 'success' },
    { kind: 'drop' },
    { kind: 'retry' },
  ]);
  t.same(JSON.parse(app.requests[0]?.body ?? ''), {
    id: 'id',
    metadata: { pubsubName: 'ps' },
    pubsubname: 'ps',
    topic: 't',
    type: 'com.dapr.event.sent.bulk',
    entries: [
      { entryId: 'a', event: { id: '1' }, metadata: { m: '1' }, contentType: 'c' },
      { entryId: 'b', event: 'eA==', metadata: { m: '1' }, contentType: 'c' },
      { entryId: 'c', event: {}, metadata: { m: '1' }, contentType: 'c' },
    ],
  });
  t.match(app.requests[0]?.headers, { 'content-type': 'application/json', pubsubname: 'ps' });
  answer = [404, ''];
  t.match(await channel.deliverBulk(delivery, signal), [
    { kind: 'drop' },
    { kind: 'drop' },
    { kind: 'drop' },
  ]);
  answer = [200, 'no json'];
  t.match(await channel.deliverBulk(delivery, signal), [
    { kind: 'retry' },
    { kind: 'retry' },
    { kind: 'retry' },
  ]);
  answer = [500, ''];
  t.match(await channel.deliverBulk(delivery, signal), [
    { httpStatus: 500 },
    { httpStatus: 500 },
    { httpStatus: 500 },
  ]);
});

t.test('input bindings: probe, delivery, reply object, failure', async (t) => {
  let answer: [number, string] = [405, ''];
  const { app, channel } = await openHttpChannel(t, (_request, response) =>
    response.writeHead(answer[0]).end(answer[1]),
  );
  t.equal(await channel.wantsBinding('tick', 'custom/tick', signal), true);
  t.match(app.requests[0], {
    method: 'OPTIONS',
    url: '/custom/tick',
    headers: { 'content-type': 'application/json' },
  });
  answer = [404, ''];
  t.equal(await channel.wantsBinding('tick', '/tick', signal), false);
  const event = { data: Buffer.from('e'), metadata: { readTimeUTC: 'now' }, contentType: 'text/plain' };
  const deliver = () => channel.deliverBinding('tick', '/tick', event, { traceparent: ZERO }, signal);
  answer = [
    200,
    '{"storeName":"s","state":[{"key":"k","value":{"a":1}}],"to":["o"],"data":"x","concurrency":"PARALLEL"}',
  ];
  const reply = await deliver();
  t.match(reply, { httpStatus: 200, storeName: 's', to: ['o'], concurrency: 'parallel' });
  t.equal(Buffer.from(reply.states?.[0]?.value ?? []).toString(), '{"a":1}');
  t.equal(Buffer.from(reply.outputData ?? []).toString(), '"x"');
  t.equal(Buffer.from(reply.data ?? []).toString(), answer[1], 'the component gets the whole answer');
  t.match(app.requests.at(-1), {
    method: 'POST',
    body: 'e',
    headers: { 'content-type': 'application/json', readtimeutc: 'now', traceparent: ZERO },
  });
  answer = [200, '{"plain":1}'];
  t.strictSame(Object.keys(await deliver()).sort(), ['data', 'httpStatus']);
  answer = [500, 'no'];
  await t.rejects(deliver(), {
    httpStatus: 500,
    message: 'fails to send binding event to http app channel, status code: 500 body: no',
  });
});

t.test('configuration updates want exactly 200', async (t) => {
  let status = 200;
  const { app, channel } = await openHttpChannel(t, (_request, response) => response.writeHead(status).end());
  const items = { k: { value: 'v', version: '1', metadata: {} } };
  await channel.deliverConfiguration('store', 'a key', 'sub', items, signal);
  t.match(app.requests[0], {
    method: 'POST',
    url: '/configuration/store/a%20key',
    headers: { 'content-type': 'application/json' },
  });
  t.same(JSON.parse(app.requests[0]?.body ?? ''), { id: 'sub', items });
  status = 204;
  await t.rejects(channel.deliverConfiguration('store', 'k', 'sub', items, signal), {
    message: /status code 204/,
  });
});

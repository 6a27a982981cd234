/** `bindings.dapr`: what goes into the queue, what reaches a far sidecar, and which answers keep, end or park a message. */

import t, { type Test } from 'tap';
import { createDaprBinding } from '../../../../edge-components/bindings/dapr/dapr-binding.ts';
import { daprBindingMetadata } from '../../../../edge-components/bindings/dapr/metadata.ts';
import type { Binding } from '../../../../runtime/contracts/binding.ts';
import { decodeMetadata } from '../../../../runtime/contracts/metadata.ts';
import {
  type DeliveryOutcome,
  type Spool,
  SpoolFullError,
  type SpoolMessage,
  type SpoolOptions,
  type StoredMessage,
} from '../../../../runtime/contracts/spool.ts';
import { componentDeps } from '../../../support/component-deps.ts';
import {
  type HttpTarget,
  httpTarget,
  type TargetAnswer,
  type TargetRequest,
} from '../../../support/http-target.ts';

const never = new AbortController().signal;

/** A queue in memory that delivers when a test says so. */
interface FakeSpool {
  readonly opened: SpoolOptions[];
  readonly messages: SpoolMessage[];
  closed: number;
  full: boolean;
  deliver(index: number): Promise<DeliveryOutcome>;
  open(options: SpoolOptions): Promise<Spool>;
}

function fakeSpool(): FakeSpool {
  let run: Parameters<Spool['drain']>[0] | undefined;
  const fake: FakeSpool = {
    opened: [],
    messages: [],
    closed: 0,
    full: false,
    deliver: async (index) => {
      const message = fake.messages[index];
      if (message === undefined || run === undefined) throw new Error('nothing to deliver');
      const stored: StoredMessage = {
        ...message,
        id: `id-${index}`,
        sequence: index,
        acceptedAt: 0,
        attempts: 0,
      };
      return await run(stored, never);
    },
    open: async (options) => {
      fake.opened.push(options);
      return {
        options,
        append: async (message) => {
          if (fake.full) throw new SpoolFullError('the queue is full');
          fake.messages.push(message);
          return `id-${fake.messages.length - 1}`;
        },
        drain: (deliver) => {
          run = deliver;
        },
        wake: () => {},
        counts: () => ({ accepted: 0, delivered: 0, pending: 0, parked: 0, dropped: {}, pendingBytes: 0 }),
        close: async () => {
          fake.closed += 1;
        },
      };
    },
  };
  return fake;
}

function fakeSpools() {
  const fake = fakeSpool();
  return { fake, open: fake.open, list: async () => [] };
}

interface Rig {
  readonly target: HttpTarget;
  readonly spool: FakeSpool;
  readonly binding: Binding;
  send(metadata?: Readonly<Record<string, string>>, data?: string, operation?: string): Promise<unknown>;
  /** Delivers what was sent last. */
  deliver(): Promise<DeliveryOutcome>;
}

async function open(
  t: Test,
  items: Readonly<Record<string, string>> = {},
  answer: (request: TargetRequest) => TargetAnswer = () => ({ status: 204 }),
): Promise<Rig> {
  const target = await httpTarget(answer);
  const spool = fakeSpool();
  const decoded = decodeMetadata(daprBindingMetadata, { url: `${target.url}/`, ...items });
  if (!decoded.ok) throw new Error(decoded.faults.join('; '));
  const deps = componentDeps({ componentName: 'cloud', spools: { open: spool.open, list: async () => [] } });
  const binding = createDaprBinding(decoded.value, deps);
  await binding.init(never);
  t.teardown(async () => {
    await binding.close();
    await target.close();
  });
  return {
    target,
    spool,
    binding,
    send: async (metadata = {}, data = '{"a":1}', operation = 'create') =>
      await binding.invoke?.({ operation, data: Buffer.from(data), metadata }, never),
    deliver: () => spool.deliver(spool.messages.length - 1),
  };
}

t.test('an invocation is answered with the id of its message', async (t) => {
  const { send, spool, target } = await open(t);
  t.strictSame(await send(), { metadata: { messageId: 'id-0' } });
  t.equal(target.requests.length, 0, 'nothing has travelled yet');
  t.match(spool.opened, [
    { name: 'app/cloud', maxMessages: 100_000, maxBytes: 268_435_456, whenFull: 'reject', ttlMs: 0 },
  ]);
});

t.test('metadata become the bounds of the queue', async (t) => {
  const { spool } = await open(t, {
    queueMaxMessages: '10',
    queueMaxBytes: '1Mi',
    queueWhenFull: 'drop-oldest',
    queueTTL: '24h',
  });
  t.match(spool.opened, [
    { maxMessages: 10, maxBytes: 1_048_576, whenFull: 'drop-oldest', ttlMs: 86_400_000 },
  ]);
});

t.test('a full queue is an error of the invocation', async (t) => {
  const { send, spool } = await open(t);
  spool.full = true;
  await t.rejects(send(), { message: 'the queue is full' });
});

t.test('order key and priority', async (t) => {
  const { send, spool } = await open(t);
  await send({ partitionKey: 'p1', priority: '9', traceparent: 'tp' });
  await send({ priority: '11' });
  await send({ priority: 'high' });
  t.match(spool.messages, [
    { key: 'p1', priority: 9 },
    { key: '', priority: 4 },
    { key: '', priority: 4 },
  ]);
  t.notOk(
    Object.keys(spool.messages[0]?.headers ?? {}).includes('m.traceparent'),
    'the trace of the call ends here',
  );
  const named = await open(t, { keyFrom: 'device' });
  await named.send({ device: 'd7', partitionKey: 'p1' });
  t.match(named.spool.messages, [{ key: 'd7' }]);
});

t.test('a binding of the far side gets operation, metadata and data', async (t) => {
  const { send, deliver, target } = await open(t, { apiToken: 's3cret', operations: 'create, update' });
  await send({ x: 'y' }, '{"a": [1,  2]}', 'update');
  t.equal(await deliver(), 'delivered');
  const [request] = target.requests;
  t.match(request, { method: 'POST', url: '/v1.0/bindings/cloud' });
  t.match(request?.headers, {
    'content-type': 'application/json',
    'skerry-message-id': 'id-0',
    'dapr-api-token': 's3cret',
  });
  t.equal(
    request?.body,
    '{"operation":"update","metadata":{"x":"y"},"data":{"a": [1,  2]}}',
    'data byte for byte',
  );
  await send({}, 'plain text');
  await deliver();
  t.equal(target.requests[1]?.body, '{"operation":"create","metadata":{},"data":"plain text"}');
});

t.test('a publish carries the id as CloudEvent id, and the metadata', async (t) => {
  const { send, deliver, target } = await open(t, { path: '/publish/bus/topic' });
  await send(
    { ttlInSeconds: '5', 'cloudevent.type': 'reading', priority: '7', contentType: 'text/plain' },
    'hot',
  );
  t.equal(await deliver(), 'delivered');
  const [request] = target.requests;
  const url = new URL(request?.url ?? '', target.url);
  t.equal(url.pathname, '/v1.0/publish/bus/topic');
  t.strictSame(Object.fromEntries(url.searchParams), {
    'metadata.cloudevent.id': 'id-0',
    'metadata.ttlInSeconds': '5',
    'metadata.cloudevent.type': 'reading',
  });
  t.equal(request?.body, 'hot');
  t.equal(request?.headers['content-type'], 'text/plain');
  await send({ 'cloudevent.id': 'mine' });
  await deliver();
  t.match(target.requests[1]?.url, /metadata\.cloudevent\.id=mine/, 'the id of the caller stays');
});

t.test('a method of a far app gets the data alone', async (t) => {
  const { send, deliver, target } = await open(t, { path: 'invoke/app/method/in' });
  await send({}, '{"a":1}');
  t.equal(await deliver(), 'delivered');
  t.match(target.requests, [{ url: '/v1.0/invoke/app/method/in', body: '{"a":1}' }]);
});

t.test('answers decide: taken, tried again, set aside', async (t) => {
  let status = 200;
  let body = '';
  const { send, deliver } = await open(t, {}, () => ({ status, body }));
  await send();
  for (status of [200, 201, 204]) t.equal(await deliver(), 'delivered', `${status}`);
  body = 'why';
  for (status of [301, 401, 403, 404, 408, 429, 500, 502, 503])
    t.strictSame(await deliver(), { retry: `${status} why` });
  for (status of [400, 413, 415, 422]) t.strictSame(await deliver(), { park: `${status} why` });
  status = 400;
  body = '{"errorCode":"ERR_PUBSUB_NOT_CONFIGURED","message":"m"}';
  t.match(await deliver(), { retry: /^400 / }, 'the far side is not set up: no fault of the message');
  body = 'x'.repeat(100_000);
  t.match(await deliver(), { park: /^400 x{200}$/ });
});

t.test('no answer at all means again', async (t) => {
  const { send, deliver, target } = await open(t, {}, () => 'cut');
  await send();
  t.match(await deliver(), { retry: /hang up|ECONNRESET/ });
  await target.close();
  t.match(await deliver(), { retry: /ECONNREFUSED/ });
});

t.test('close keeps the queue and ends the binding', async (t) => {
  const { send, binding, spool } = await open(t);
  await binding.close();
  await binding.close();
  t.equal(spool.closed, 1);
  await t.rejects(send(), { message: 'component cloud is closed' });
});

t.test('an address is required: an endpoint or a URL', async (t) => {
  const create = (
    items: Readonly<Record<string, string>>,
    deps: Parameters<typeof componentDeps>[0] = {},
  ) => {
    const decoded = decodeMetadata(daprBindingMetadata, items);
    if (!decoded.ok) throw new Error(decoded.faults.join());
    return createDaprBinding(decoded.value, componentDeps({ spools: fakeSpools(), ...deps }));
  };
  await t.rejects(create({}).init(never), /'endpointName'.*\(or 'baseUrl'\) is required/);
  await t.rejects(create({ endpointName: 'x' }).init(never), /no HTTPEndpoint resource named 'x'/);
  const target = await httpTarget();
  t.teardown(() => target.close());
  const spools = fakeSpools();
  const binding = create(
    { endpointName: 'cloud' },
    {
      spools,
      endpoint: async (name) => ({ name, baseUrl: target.url, headers: [['dapr-api-token', 'tok']] }),
    },
  );
  await binding.init(never);
  await binding.invoke?.({ operation: 'create', data: Buffer.from('{"n":1}'), metadata: {} }, never);
  await spools.fake.deliver(0);
  t.match(target.requests, [{ url: '/v1.0/bindings/test', headers: { 'dapr-api-token': 'tok' } }]);
  await binding.close();
});

t.test('bad metadata name the item', async (t) => {
  const faults = (items: Readonly<Record<string, string>>): readonly string[] => {
    const decoded = decodeMetadata(daprBindingMetadata, items);
    return decoded.ok ? [] : decoded.faults;
  };
  t.match(faults({ baseUrl: 'cloud:3500' }), [/'baseUrl': expected an http or https URL/]);
  t.match(faults({ baseUrl: 'http://c', queueWhenFull: 'explode' }), [/'queueWhenFull': expected block/]);
  t.match(faults({ baseUrl: 'http://c', queueMaxMessages: '0' }), [
    /'queueMaxMessages': expected an integer/,
  ]);
  t.match(faults({ baseUrl: 'http://c', queueMaxBytes: 'much' }), [/'queueMaxBytes': expected a quantity/]);
});

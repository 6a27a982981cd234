import { create } from '@bufbuild/protobuf';
import { EmptySchema } from '@bufbuild/protobuf/wkt';
import t, { type Test } from 'tap';
import { createGrpcChannel } from '../../../runtime/app-channel/grpc-channel.ts';
import {
  type AnyGrpcMethod,
  type GrpcCall,
  type GrpcService,
  unaryMethod,
} from '../../../runtime/contracts/grpc-wire/service.ts';
import { GrpcStatusError } from '../../../runtime/contracts/grpc-wire/status.ts';
import {
  type InvokeRequest,
  InvokeRequestSchema,
  InvokeResponseSchema,
} from '../../../runtime/generated/dapr/proto/common/v1/common_pb.ts';
import {
  BindingEventRequestSchema,
  BindingEventResponseSchema,
  ListInputBindingsResponseSchema,
  ListTopicSubscriptionsResponseSchema,
  TopicEventBulkRequestSchema,
  TopicEventBulkResponseSchema,
  type TopicEventRequest,
  TopicEventRequestSchema,
  TopicEventResponseSchema,
} from '../../../runtime/generated/dapr/proto/runtime/v1/appcallback_pb.ts';
import { createGrpcServer } from '../../../runtime/grpc/server.ts';
import { codec } from '../../../runtime/grpc-client/codec.ts';
import { systemClock } from '../../../runtime/platform/system-clock.ts';
import { callContext, invokeRequest, textOf, wholeBody } from '../../support/invocations.ts';
import { recordingLogger } from '../../support/recording-logger.ts';

const signal = new AbortController().signal;
const span = callContext().span;
const metrics = { count: () => {}, observe: () => {}, gauge: () => {} };
const empty = codec(EmptySchema);
const event = {
  path: '/r',
  envelope: {
    id: '1',
    source: 's',
    type: 'ty',
    specversion: '1.0',
    datacontenttype: 'application/json',
    data: { a: 1 },
    mine: 'x',
    topic: 'elsewhere',
    pubsubname: 'ps',
  },
  data: new Uint8Array(0),
  pubsubName: 'ps',
  topic: 't',
  metadata: { k: 'v' },
  trace: {},
};

async function open(
  t: Test,
  callback: Record<string, AnyGrpcMethod>,
  alpha: Record<string, AnyGrpcMethod> = {},
) {
  const clock = systemClock();
  const services: GrpcService[] = [
    { name: 'dapr.proto.runtime.v1.AppCallback', methods: callback },
    { name: 'dapr.proto.runtime.v1.AppCallbackAlpha', methods: alpha },
  ];
  const server = createGrpcServer({
    addresses: ['127.0.0.1'],
    port: 0,
    maxMessageBytes: 1 << 20,
    protocol: 'grpc',
    clock,
    log: recordingLogger(),
    metrics,
    services,
    tracer: { enabled: false, start: () => span },
  });
  const channel = createGrpcChannel({
    protocol: 'grpc',
    address: '127.0.0.1',
    port: await server.listen(),
    maxConcurrency: 0,
    token: 'secret',
    maxMessageBytes: 1 << 20,
    clock,
    log: recordingLogger(),
  });
  t.teardown(async () => {
    await channel.close();
    await server.close(0);
  });
  return channel;
}

t.test('OnInvoke: message, metadata and answer', async (t) => {
  const seen: { request: InvokeRequest; call: GrpcCall }[] = [];
  const channel = await open(t, {
    OnInvoke: unaryMethod(codec(InvokeRequestSchema), codec(InvokeResponseSchema), async (request, call) => {
      seen.push({ request, call });
      call.addHeaders([['x-back', '1']]);
      if (request.method === 'fail') {
        call.sendHeaders();
        throw new GrpcStatusError(5, 'not here');
      }
      return create(InvokeResponseSchema, {
        contentType: 'text/x',
        data: { typeUrl: '', value: Buffer.from('out') },
      });
    }),
  });
  const headers = [
    ['Accept', 'a'],
    ['X-Mine', '1'],
    ['destination-app-id', 'me'],
    ['dapr-api-token', 'other'],
  ] as const;
  const response = await channel.invoke(
    invokeRequest({
      method: 'a%20b',
      verb: 'PUT',
      query: 'q=1',
      headers,
      contentType: 'text/plain',
      body: wholeBody('in'),
    }),
    callContext(),
  );
  t.match(seen[0]?.request, {
    method: 'a b',
    contentType: 'text/plain',
    httpExtension: { verb: 4, querystring: 'q=1' },
  });
  const metadata = Object.fromEntries(seen[0]?.call.metadata ?? []);
  t.match(metadata, { 'dapr-accept': 'a', 'x-mine': '1', 'dapr-api-token': 'secret' });
  t.notOk('destination-app-id' in metadata);
  t.match(response, { status: 0, grpc: true, contentType: 'text/x' });
  t.ok(response.headers.some(([name, value]) => name === 'x-back' && value === '1'));
  await channel.invoke(
    invokeRequest({
      method: 'a%20b',
      plainMethod: '/x/../a%20b',
      verb: '',
      query: '',
      headers: [
        ['dapr-authority', 'h:1'],
        ['accept', 'a'],
        ['dapr-grpc-mine', 'g'],
      ],
      contentType: 'a/b',
      dataTypeUrl: 'type.googleapis.com/x.Y',
      body: wholeBody('in'),
    }),
    callContext(),
  );
  t.match(
    seen[1]?.request,
    { method: '/a%20b', contentType: 'a/b' },
    'what a gRPC caller said, as it said it',
  );
  const fromGrpc = Object.fromEntries(seen[1]?.call.metadata ?? []);
  t.match(fromGrpc, { accept: 'a', 'grpc-mine': 'g' });
  t.notOk('dapr-authority' in fromGrpc || 'dapr-accept' in fromGrpc);
  t.equal(await textOf(response.body), 'out');
  const failed = await channel.invoke(invokeRequest({ method: 'fail' }), callContext());
  t.match(failed, { status: 5, grpc: true, message: 'not here' });
  t.ok(
    failed.headers.some(([name]) => name === 'x-back'),
    'headers of a failed call',
  );
});

t.test('questions: lists, and none where the app does not know the method', async (t) => {
  const channel = await open(t, {
    ListTopicSubscriptions: unaryMethod(empty, codec(ListTopicSubscriptionsResponseSchema), async () =>
      create(ListTopicSubscriptionsResponseSchema, {
        subscriptions: [
          {
            pubsubName: 'ps',
            topic: 'a',
            routes: { rules: [{ match: 'm', path: '/m' }], default: '/d' },
            bulkSubscribe: { enabled: true, maxMessagesCount: 5 },
          },
          { pubsubName: 'ps', topic: 'b' },
        ],
      }),
    ),
    ListInputBindings: unaryMethod(empty, codec(ListInputBindingsResponseSchema), async () =>
      create(ListInputBindingsResponseSchema, { bindings: ['in'] }),
    ),
  });
  t.match(await channel.subscriptions(signal), [
    {
      topic: 'a',
      rules: [
        { match: 'm', path: '/m' },
        { match: '', path: '/d' },
      ],
      bulk: { enabled: true, maxMessagesCount: 5 },
    },
    { topic: 'b', rules: [{ match: '', path: '' }] },
  ]);
  t.same(
    [await channel.wantsBinding('in', '', signal), await channel.wantsBinding('other', '', signal)],
    [true, false],
  );
  const silent = await open(t, {});
  t.same(await silent.subscriptions(signal), []);
  t.equal(await silent.wantsBinding('in', '', signal), false);
  await t.rejects(silent.probe('', signal));
});

t.test('OnTopicEvent: fields, metadata and verdicts', async (t) => {
  const seen: { request: TopicEventRequest; metadata: Record<string, string> }[] = [];
  let status: 0 | 1 | 2 | GrpcStatusError = 0;
  const channel = await open(t, {
    OnTopicEvent: unaryMethod(
      codec(TopicEventRequestSchema),
      codec(TopicEventResponseSchema),
      async (request, call) => {
        seen.push({ request, metadata: Object.fromEntries(call.metadata) });
        if (status instanceof GrpcStatusError) throw status;
        return create(TopicEventResponseSchema, { status });
      },
    ),
  });
  t.match(await channel.deliverEvent(event, signal), { kind: 'success' });
  t.match(seen[0], {
    request: {
      id: '1',
      source: 's',
      type: 'ty',
      specVersion: '1.0',
      dataContentType: 'application/json',
      topic: 't',
      pubsubName: 'ps',
      path: '/r',
      extensions: { mine: 'x', topic: 'elsewhere', pubsubname: 'ps' },
    },
    metadata: { k: 'v', 'dapr-api-token': 'secret' },
  });
  t.equal(Buffer.from(seen[0]?.request.data ?? []).toString(), '{"a":1}');
  const dataOf = async (datacontenttype: string, data: unknown): Promise<string> => {
    await channel.deliverEvent({ ...event, envelope: { ...event.envelope, datacontenttype, data } }, signal);
    return Buffer.from(seen.at(-1)?.request.data ?? []).toString();
  };
  t.equal(await dataOf('text/plain', 'words'), 'words');
  t.equal(await dataOf('application/xml; charset=utf-8', '<a/>'), '<a/>');
  t.equal(await dataOf('application/json', 'words'), '"words"');
  t.equal(await dataOf('application/json', { b: '<', a: 1 }), '{"a":1,"b":"\\u003c"}', 'as Go spells it');
  t.equal(await dataOf('', { a: 1 }), '{"a":1}');
  t.equal(await dataOf('application/vnd.x+json', '{"a":1}'), '{"a":1}', 'a text that is JSON already');
  t.equal(await dataOf('foo/bar', 'words'), '', 'a content type of which nothing is known');
  status = 1;
  t.match(await channel.deliverEvent(event, signal), { kind: 'retry' });
  status = 2;
  t.match(await channel.deliverEvent(event, signal), { kind: 'drop' });
  status = new GrpcStatusError(12, 'no');
  t.match(await channel.deliverEvent(event, signal), { kind: 'drop', final: true });
  status = new GrpcStatusError(14, 'later');
  t.match(await channel.deliverEvent(event, signal), { kind: 'retry', grpcCode: 14 });
});

t.test('a batch falls back to the alpha method, and remembers', async (t) => {
  const calls: string[] = [];
  const bulk = (name: string, code?: number) =>
    unaryMethod(codec(TopicEventBulkRequestSchema), codec(TopicEventBulkResponseSchema), async (request) => {
      calls.push(`${name} ${request.entries.map(({ event: { case: kind } }) => kind).join()}`);
      if (code !== undefined)
        throw new GrpcStatusError(code, 'server closed the stream without sending trailers');
      return create(TopicEventBulkResponseSchema, {
        statuses: [
          { entryId: 'a', status: 0 },
          { entryId: 'b', status: 2 },
        ],
      });
    });
  const entry = (entryId: string, raw = false) => ({
    entryId,
    event: raw ? Buffer.from('x') : event.envelope,
    contentType: '',
    metadata: {},
  });
  const delivery = { ...event, id: 'id', entries: [entry('a'), entry('b', true), entry('c')] };
  const results = [{ kind: 'success' }, { kind: 'drop' }, { kind: 'retry' }];
  for (const code of [12, 13]) {
    calls.length = 0;
    const channel = await open(
      t,
      { OnBulkTopicEvent: bulk('stable', code) },
      { OnBulkTopicEventAlpha1: bulk('alpha') },
    );
    t.match(await channel.deliverBulk(delivery, signal), results);
    t.match(await channel.deliverBulk(delivery, signal), results);
    t.same(calls, [
      'stable cloudEvent,bytes,cloudEvent',
      'alpha cloudEvent,bytes,cloudEvent',
      'alpha cloudEvent,bytes,cloudEvent',
    ]);
  }
  const neither = await open(t, {});
  t.match(await neither.deliverBulk(delivery, signal), [
    { kind: 'drop' },
    { kind: 'drop' },
    { kind: 'drop' },
  ]);
});

t.test('OnBindingEvent: the reply object, and a failure with its code', async (t) => {
  const channel = await open(t, {
    OnBindingEvent: unaryMethod(
      codec(BindingEventRequestSchema),
      codec(BindingEventResponseSchema),
      async (request) => {
        if (request.name === 'bad') throw new GrpcStatusError(9, 'no');
        return create(BindingEventResponseSchema, {
          to: ['o'],
          concurrency: 1,
          data: Buffer.from(`${request.metadata['m']}`),
          storeName: 's',
          states: [{ key: 'k', value: Buffer.from('v') }],
        });
      },
    ),
  });
  const reply = await channel.deliverBinding(
    'in',
    '',
    { data: Buffer.from('e'), metadata: { m: '1' } },
    {},
    signal,
  );
  t.match(reply, { to: ['o'], concurrency: 'parallel', storeName: 's', states: [{ key: 'k' }] });
  t.equal(Buffer.from(reply.data ?? []).toString(), '1');
  await t.rejects(channel.deliverBinding('bad', '', { data: Buffer.from(''), metadata: {} }, {}, signal), {
    name: 'AppStatusError',
    grpcCode: 9,
  } as never);
});

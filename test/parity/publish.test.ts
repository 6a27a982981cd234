/** Publishing over HTTP and over gRPC: the same message on the broker (HTTP reference 7, gRPC reference 2.3). */

import t from 'tap';
import { definition as pubsubInMemory } from '../../edge-components/pubsub/in-memory/component.ts';
import type { LoadedComponent } from '../../runtime/contracts/component-source.ts';
import type { IncomingMessage } from '../../runtime/contracts/pubsub.ts';
import { loaded } from '../support/block-rig.ts';
import { DONE, failure, type ParityCase, runCases } from './support/cases.ts';
import { publishRequests } from './support/publish-requests.ts';
import { startParity } from './support/rig.ts';

const TRACE = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
const ID = '00000000-0000-4000-8000-000000000001';
const ID2 = '00000000-0000-4000-8000-000000000002';

const fussy = loaded('pubsub', 'fussy', {
  features: [],
  publish: async ({ data }) => {
    if (Buffer.from(data).toString().includes('bad')) throw new Error('refused');
  },
  subscribe: async () => ({ close: async () => {} }),
});
let open: LoadedComponent<'pubsub'> | undefined;
const rig = await startParity(t, {
  components: ({ make }) => {
    open = make(pubsubInMemory, 'pubsub');
    const guarded = make(pubsubInMemory, 'guarded', { publishingScopes: 'app=open' });
    return [open, guarded, fussy];
  },
});

/** Everything that `pubsub` carries. */
const messages: IncomingMessage[] = [];
let arrived = (): void => {};
await open?.instance.subscribe({ topic: '*', metadata: {} }, async (message) => {
  messages.push(message);
  arrived();
});
async function carried(count: number): Promise<unknown> {
  while (messages.length < count) {
    await new Promise<void>((resolve) => {
      arrived = resolve;
    });
  }
  const shown = messages.splice(0).map(({ topic, data, metadata }) => {
    const text = Buffer.from(data).toString();
    return { topic, metadata, data: text.startsWith('{') ? JSON.parse(text) : text };
  });
  return count === 1 ? shown[0] : shown;
}
const reset = (): void => {
  messages.length = 0;
  rig.restartIds();
};
const { publish, bulk } = publishRequests(rig, carried);

const envelope = (more: object) => ({
  id: ID,
  source: 'app',
  type: 'com.dapr.event.sent',
  specversion: '1.0',
  datacontenttype: 'text/plain',
  topic: 'orders',
  pubsubname: 'pubsub',
  traceid: '',
  traceparent: '',
  tracestate: '',
  time: '2023-11-14T22:13:20Z',
  ...more,
});
const message = (more: object, metadata: object = {}) => ({
  topic: 'orders',
  metadata,
  data: envelope(more),
});
const json = 'application/json';
const events = 'application/cloudevents+json';
const raw = { rawPayload: 'true' };

const envelopes: readonly ParityCase[] = [
  {
    name: 'text, and no content type',
    request: publish({ data: 'hello' }),
    ...DONE,
    same: message({ data: 'hello' }),
  },
  {
    name: 'JSON',
    request: publish({ data: '{"n":[1,null]}', contentType: json }),
    ...DONE,
    same: message({ data: { n: [1, null] }, datacontenttype: json }),
  },
  {
    name: 'JSON that is none',
    request: publish({ data: '{', contentType: json }),
    ...DONE,
    same: message({ data: '{', datacontenttype: json }),
  },
  {
    name: 'bytes',
    request: publish({ data: 'hello', contentType: 'application/octet-stream' }),
    ...DONE,
    same: message({ data_base64: 'aGVsbG8=', datacontenttype: 'application/octet-stream' }),
  },
  { name: 'nothing', request: publish({}), ...DONE, same: message({ data: '' }) },
  {
    name: 'a trace',
    request: publish({ data: 'x', traceparent: TRACE }),
    ...DONE,
    same: message({ data: 'x', traceid: TRACE, traceparent: TRACE }),
  },
  {
    name: 'attributes of the caller',
    request: publish({ data: 'x', metadata: { 'cloudevent.id': 'mine', 'cloudevent.type': 'order' } }),
    ...DONE,
    same: message(
      { data: 'x', id: 'mine', type: 'order' },
      { 'cloudevent.id': 'mine', 'cloudevent.type': 'order' },
    ),
  },
  {
    name: 'a time to live',
    request: publish({ data: 'x', metadata: { ttlInSeconds: '10' } }),
    ...DONE,
    same: message({ data: 'x', expiration: '2023-11-14T22:13:30Z' }, { ttlInSeconds: '10' }),
  },
  {
    name: 'an event of the caller',
    request: publish({ data: '{"id":"e","x":1}', contentType: events }),
    ...DONE,
    same: {
      topic: 'orders',
      metadata: {},
      data: {
        id: 'e',
        x: 1,
        source: 'Dapr',
        type: 'com.dapr.event.sent',
        specversion: '1.0',
        topic: 'orders',
        pubsubname: 'pubsub',
        time: '2023-11-14T22:13:20Z',
        traceid: '',
        traceparent: '',
        tracestate: '',
      },
    },
  },
  {
    name: 'a topic with slashes',
    request: publish({ topic: 'a/b', data: 'x' }),
    ...DONE,
    same: { topic: 'a/b', metadata: {}, data: envelope({ topic: 'a/b', data: 'x' }) },
  },
  {
    name: 'raw payload goes out untouched, over gRPC with an empty trace beside it',
    request: publish({ data: 'x', metadata: raw }),
    http: { status: 204, value: { topic: 'orders', metadata: raw, data: 'x' } },
    grpc: {
      code: 'OK',
      value: { topic: 'orders', metadata: { ...raw, traceid: '', tracestate: '' }, data: 'x' },
    },
  },
  {
    name: 'the trace of raw payload travels beside it over gRPC only',
    request: publish({ data: 'x', metadata: raw, traceparent: TRACE }),
    http: { status: 204, value: { topic: 'orders', metadata: raw, data: 'x' } },
    grpc: {
      code: 'OK',
      value: { topic: 'orders', metadata: { ...raw, traceid: TRACE, tracestate: '' }, data: 'x' },
    },
  },
];

const unknownPubsub = failure(
  [404, 'ERR_PUBSUB_NOT_FOUND'],
  ['InvalidArgument', 'DAPR_PUBSUB_NOT_FOUND'],
  'pubsub nope is not found',
);
const forbidden = failure(
  [403, 'ERR_PUBSUB_FORBIDDEN'],
  ['PermissionDenied', 'DAPR_PUBSUB_FORBIDDEN'],
  'topic secret is not allowed for app id app',
);
const badRaw = failure(
  [400, 'ERR_PUBSUB_REQUEST_METADATA'],
  ['InvalidArgument', 'DAPR_PUBSUB_METADATA_DESERIALIZATION'],
  "failed deserializing metadata. Error: rawPayload value must be a valid boolean: actual is 'maybe'",
);
const notAnEvent = failure(
  [500, 'ERR_PUBSUB_CLOUD_EVENTS_SER'],
  ['InvalidArgument', 'DAPR_PUBSUB_CLOUD_EVENT_CREATION'],
  'cannot create cloudevent',
);
const duplicateId = failure(
  [400, 'ERR_PUBSUB_EVENTS_SER'],
  ['InvalidArgument', 'DAPR_PUBSUB_MARSHAL_EVENTS'],
  'error marshaling events to bytes for topic orders pubsub pubsub. error: entryId is duplicated or not present for entry',
);
/** An empty segment is no route of the API, so HTTP takes it for an invocation without target. */
const noRoute = {
  status: 404,
  errorCode: 'ERR_DIRECT_INVOKE',
  message: 'failed getting app id either from the URL path or the header dapr-app-id',
};

const failures: readonly ParityCase[] = [
  { name: 'an unknown pubsub', request: publish({ pubsub: 'nope' }), ...unknownPubsub },
  {
    name: 'no pubsub name',
    request: publish({ pubsub: '' }),
    http: noRoute,
    grpc: { code: 'InvalidArgument', reason: 'DAPR_PUBSUB_NAME_EMPTY', message: 'pubsub name is empty' },
  },
  {
    name: 'no topic',
    request: publish({ topic: '' }),
    http: noRoute,
    grpc: {
      code: 'InvalidArgument',
      reason: 'DAPR_PUBSUB_TOPIC_NAME_EMPTY',
      message: 'topic is empty in pubsub pubsub',
    },
  },
  { name: 'a bad rawPayload', request: publish({ metadata: { rawPayload: 'maybe' } }), ...badRaw },
  {
    name: 'a declared event that is none',
    request: publish({ data: '[', contentType: events }),
    ...notAnEvent,
  },
  { name: 'a forbidden topic', request: publish({ pubsub: 'guarded', topic: 'secret' }), ...forbidden },
  {
    name: 'a broker that refuses',
    request: publish({ pubsub: 'fussy', data: 'bad' }),
    ...failure(
      [500, 'ERR_PUBSUB_PUBLISH_MESSAGE'],
      ['Internal', 'DAPR_PUBSUB_PUBLISH_MESSAGE'],
      'error when publishing to topic orders in pubsub fussy: refused',
    ),
  },
];

const one = { entryId: '1', data: '{"n":1}', contentType: json };
const two = { entryId: '2', data: 'two', contentType: 'text/plain' };
const bytes = { entryId: '3', data: 'three', contentType: 'application/octet-stream' };
const bad = { entryId: '2', data: 'bad', contentType: 'text/plain' };

const bulks: readonly ParityCase[] = [
  {
    name: 'bulk: every entry is wrapped',
    request: bulk([one, two, bytes]),
    ...DONE,
    same: [
      message({ data: { n: 1 }, datacontenttype: json }),
      message({ data: 'two', id: ID2 }),
      message({ data_base64: 'dGhyZWU=', datacontenttype: bytes.contentType, id: ID2.replace(/2$/, '3') }),
    ],
  },
  {
    name: 'bulk: metadata of the request reaches entries with metadata of their own',
    request: bulk([one, { ...two, metadata: { mine: 'yes' } }], { metadata: { ttlInSeconds: '10' } }),
    ...DONE,
    same: [
      message({ data: { n: 1 }, datacontenttype: json }),
      message(
        { data: 'two', id: ID2, expiration: '2023-11-14T22:13:30Z' },
        { ttlInSeconds: '10', mine: 'yes' },
      ),
    ],
  },
  {
    name: 'bulk: raw payloads',
    request: bulk([two, { ...bytes, data: 'three' }], { metadata: raw }),
    ...DONE,
    same: [
      { topic: 'orders', metadata: {}, data: 'two' },
      { topic: 'orders', metadata: {}, data: 'three' },
    ],
  },
  {
    name: 'bulk: some entries fail; over gRPC that is an answer',
    request: bulk([one, bad], { pubsub: 'fussy' }),
    http: { status: 500, errorCode: 'ERR_PUBSUB_PUBLISH_MESSAGE' },
    grpc: { code: 'OK' },
    same: [{ entryId: '2', error: 'refused' }],
  },
  {
    name: 'bulk: all entries fail',
    request: bulk([bad], { pubsub: 'fussy' }),
    http: {
      status: 500,
      errorCode: 'ERR_PUBSUB_PUBLISH_MESSAGE',
      value: [{ entryId: '2', error: 'refused' }],
    },
    grpc: {
      code: 'Internal',
      reason: 'DAPR_PUBSUB_PUBLISH_MESSAGE',
      message: 'error when publishing to topic orders in pubsub fussy: refused',
    },
  },
  { name: 'bulk: an id twice', request: bulk([one, { ...two, entryId: '1' }]), ...duplicateId },
  { name: 'bulk: no id', request: bulk([{ ...one, entryId: '' }]), ...duplicateId },
  { name: 'bulk: an unknown pubsub', request: bulk([one], { pubsub: 'nope' }), ...unknownPubsub },
  {
    name: 'bulk: a forbidden topic',
    request: bulk([one], { pubsub: 'guarded', topic: 'secret' }),
    ...forbidden,
  },
  { name: 'bulk: a bad rawPayload', request: bulk([one], { metadata: { rawPayload: 'maybe' } }), ...badRaw },
  {
    name: 'bulk: a declared event that is none',
    request: bulk([{ ...one, data: '[]', contentType: events }]),
    ...notAnEvent,
  },
  {
    name: 'bulk: JSON has no place for a content type that it does not know',
    request: bulk([{ ...two, contentType: 'image/png' }]),
    http: {
      status: 400,
      errorCode: 'ERR_PUBSUB_EVENTS_SER',
      message:
        'error when marshalling cloud event envelope for topic orders pubsub pubsub: error: mismatch between contentType and event',
    },
    grpc: { code: 'OK', value: message({ data: 'two', datacontenttype: 'image/png' }) },
  },
];

runCases(t, [...envelopes, ...failures, ...bulks], reset);

t.test('a subscriber sees the same event whichever protocol published it', async (t) => {
  const seen: unknown[] = [];
  const request = { pubsubName: 'pubsub', topic: 'orders', metadata: {}, deadLetterTopic: '' };
  const subscription = await rig.blocks.subscriptions.subscribeStream(request, async ({ envelope }) => {
    seen.push(envelope);
    return { kind: 'success' };
  });
  for (const side of ['http', 'grpc'] as const) {
    reset();
    await publish({ data: '{"n":1}', contentType: json })[side]();
  }
  await subscription.close();
  const event = envelope({ data: { n: 1 }, datacontenttype: json });
  t.strictSame(seen, [event, event]);
});

t.test('without any pubsub', async (t) => {
  const { publish, bulk } = publishRequests(await startParity(t), carried);
  runCases(t, [
    { name: 'publish', request: publish({ pubsub: 'nope' }), ...unknownPubsub },
    { name: 'bulk publish', request: bulk([], { pubsub: 'nope' }), ...unknownPubsub },
  ]);
});

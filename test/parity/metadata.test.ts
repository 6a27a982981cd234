/** The sidecar's metadata over HTTP and over gRPC (HTTP reference 19, gRPC reference 2.9): the same facts. */

import { toJson } from '@bufbuild/protobuf';
import t from 'tap';
import { definition as pubsubInMemory } from '../../edge-components/pubsub/in-memory/component.ts';
import { definition as stateInMemory } from '../../edge-components/state/in-memory/component.ts';
import {
  GetMetadataRequestSchema,
  SetMetadataRequestSchema,
} from '../../runtime/generated/dapr/proto/runtime/v1/metadata_pb.ts';
import { GetMetadataResponseV118Schema } from '../../runtime/generated/skerry_additions_pb.ts';
import { loaded } from '../support/block-rig.ts';
import { DONE, httpOutcome, type ParityRequest, runCases } from './support/cases.ts';
import { grpcCommand, grpcOutcome } from './support/grpc-call.ts';
import { type ParityRig, startParity } from './support/rig.ts';

type Json = Record<string, unknown>;

function getMetadata({ http, grpc }: ParityRig): ParityRequest {
  return {
    http: () => httpOutcome(http.send({ path: '/v1.0/metadata' }), ({ text }) => sorted(JSON.parse(text))),
    grpc: () =>
      grpcOutcome(
        grpc,
        'GetMetadata',
        [GetMetadataRequestSchema, GetMetadataResponseV118Schema],
        {},
        (message) => sorted(asHttp(toJson(GetMetadataResponseV118Schema, message) as Json)),
      ),
  };
}

/** The members of the message under their HTTP names; what HTTP always shows is added where it is empty. */
function asHttp(message: Json): Json {
  const { subscriptions, actorRuntime, workflows, ...shown } = message;
  shown['actorRuntime'] = { hostReady: false, ...(actorRuntime as Json) };
  if (subscriptions !== undefined) {
    shown['subscriptions'] = (subscriptions as Json[]).map(({ pubsubName, rules, ...subscription }) => {
      const list = (rules as Json)['rules'];
      return {
        pubsubname: pubsubName,
        deadLetterTopic: '',
        ...subscription,
        ...(list === undefined ? {} : { rules: list }),
      };
    });
  }
  if (JSON.stringify(workflows) !== '{}') shown['workflows'] = workflows;
  return shown;
}

/** Members in order of their names. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  const members = Object.entries(value).sort(([one], [two]) => (one < two ? -1 : 1));
  return Object.fromEntries(members.map(([name, member]) => [name, sorted(member)]));
}

function setMetadata({ http, grpc, blocks }: ParityRig, key: string, value: string): ParityRequest {
  const extended = (): unknown => blocks.metadata.get().extended[key];
  return {
    http: () =>
      httpOutcome(
        http.send({ method: 'PUT', path: `/v1.0/metadata/${encodeURIComponent(key)}`, body: value }),
        extended,
      ),
    grpc: () => grpcCommand(grpc, 'SetMetadata', SetMetadataRequestSchema, { key, value }, extended),
  };
}

const health = { path: '/healthz', intervalMs: 5000, timeoutMs: 500, threshold: 3 };
const rig = await startParity(t, {
  components: ({ make }) => [
    make(pubsubInMemory, 'pubsub'),
    make(stateInMemory, 'store'),
    loaded('bindings', 'plain', { operations: [] }),
  ],
  metadata: {
    features: () => ['HotReload'],
    httpEndpoints: () => ['ext'],
    resiliencies: () => ['policies'],
    subscriptions: () => [
      {
        pubsubName: 'pubsub',
        topic: 'orders',
        metadata: { a: 'b' },
        rules: [
          { match: 'event.type == "x"', path: '/x' },
          { match: '', path: '/orders' },
        ],
        deadLetterTopic: 'dead',
        type: 'DECLARATIVE',
      },
      {
        pubsubName: 'pubsub',
        topic: 'more',
        metadata: {},
        rules: [],
        deadLetterTopic: '',
        type: 'STREAMING',
      },
    ],
    appConnection: {
      port: 3000,
      protocol: 'http',
      channelAddress: '127.0.0.1',
      maxConcurrency: 10,
      health,
    },
  },
});
rig.blocks.metadata.set('appCommand', 'node "app" <1>');
const bare = await startParity(t);

const actorRuntime = {
  runtimeStatus: 'DISABLED',
  hostReady: false,
  placement: 'placement: disconnected',
};

runCases(t, [
  {
    name: 'everything that a sidecar has',
    request: getMetadata(rig),
    http: { status: 200 },
    grpc: { code: 'OK' },
    same: sorted({
      id: 'app',
      runtimeVersion: '1.2.3',
      enabledFeatures: ['HotReload'],
      components: [
        { name: 'pubsub', type: 'pubsub.in-memory', version: 'v1', capabilities: ['SUBSCRIBE_WILDCARDS'] },
        {
          name: 'store',
          type: 'state.in-memory',
          version: 'v1',
          capabilities: ['ETAG', 'TRANSACTIONAL', 'TTL', 'DELETE_WITH_PREFIX', 'KEYS_LIKE'],
        },
        { name: 'plain', type: 'bindings.fake', version: 'v1' },
      ],
      extended: { appCommand: 'node "app" <1>', daprRuntimeVersion: '1.2.3' },
      subscriptions: [
        {
          pubsubname: 'pubsub',
          topic: 'orders',
          metadata: { a: 'b' },
          rules: [{ match: 'event.type == "x"', path: '/x' }, { path: '/orders' }],
          deadLetterTopic: 'dead',
          type: 'DECLARATIVE',
        },
        { pubsubname: 'pubsub', topic: 'more', deadLetterTopic: '', type: 'STREAMING' },
      ],
      httpEndpoints: [{ name: 'ext' }],
      appConnectionProperties: {
        port: 3000,
        protocol: 'http',
        channelAddress: '127.0.0.1',
        maxConcurrency: 10,
        health: {
          healthCheckPath: '/healthz',
          healthProbeInterval: '5s',
          healthProbeTimeout: '500ms',
          healthThreshold: 3,
        },
      },
      actorRuntime,
      resiliencies: [{ name: 'policies' }],
    }),
  },
  {
    name: 'a sidecar with nothing',
    request: getMetadata(bare),
    http: { status: 200 },
    grpc: { code: 'OK' },
    same: sorted({
      id: 'app',
      runtimeVersion: '1.2.3',
      extended: { daprRuntimeVersion: '1.2.3' },
      appConnectionProperties: { protocol: 'http', channelAddress: '127.0.0.1' },
      actorRuntime,
    }),
  },
  { name: 'a value is set', request: setMetadata(rig, 'a b/c', 'ä\n'), ...DONE, same: 'ä\n' },
  { name: 'an empty value', request: setMetadata(rig, 'empty', ''), ...DONE, same: '' },
]);

t.test('what one protocol sets the other one shows', async (t) => {
  await setMetadata(bare, 'one', '1').http();
  await setMetadata(bare, 'two', '2').grpc();
  const extended = { daprRuntimeVersion: '1.2.3', one: '1', two: '2' };
  t.match(await getMetadata(bare).http(), { value: { extended } });
  t.match(await getMetadata(bare).grpc(), { value: { extended } });
});

import { create, toBinary } from '@bufbuild/protobuf';
import { AnySchema, EmptySchema } from '@bufbuild/protobuf/wkt';
import t from 'tap';
import type { JobRequest, MetadataAnswer } from '../../../../runtime/contracts/blocks.ts';
import { runtimeError } from '../../../../runtime/contracts/error.ts';
import {
  InvokeActorRequestSchema,
  InvokeActorResponseSchema,
  RegisterActorTimerRequestSchema,
} from '../../../../runtime/generated/dapr/proto/runtime/v1/actors_pb.ts';
import { ShutdownRequestSchema } from '../../../../runtime/generated/dapr/proto/runtime/v1/dapr_pb.ts';
import {
  GetJobRequestSchema,
  GetJobResponseSchema,
  ScheduleJobRequestSchema,
  ScheduleJobResponseSchema,
} from '../../../../runtime/generated/dapr/proto/runtime/v1/jobs_pb.ts';
import {
  TryLockRequestSchema,
  TryLockResponseSchema,
  UnlockRequestSchema,
  UnlockResponseSchema,
} from '../../../../runtime/generated/dapr/proto/runtime/v1/lock_pb.ts';
import {
  GetMetadataRequestSchema,
  SetMetadataRequestSchema,
} from '../../../../runtime/generated/dapr/proto/runtime/v1/metadata_pb.ts';
import {
  BulkPublishRequestSchema,
  BulkPublishResponseSchema,
  PublishEventRequestSchema,
} from '../../../../runtime/generated/dapr/proto/runtime/v1/pubsub_pb.ts';
import {
  GetBulkSecretRequestSchema,
  GetBulkSecretResponseSchema,
  GetSecretRequestSchema,
  GetSecretResponseSchema,
} from '../../../../runtime/generated/dapr/proto/runtime/v1/secret_pb.ts';
import {
  StartWorkflowRequestSchema,
  StartWorkflowResponseSchema,
} from '../../../../runtime/generated/dapr/proto/runtime/v1/workflow_pb.ts';
import {
  GetMetadataResponseV118Schema,
  ListJobsRequestSchema,
  ListJobsResponseSchema,
} from '../../../../runtime/generated/skerry_additions_pb.ts';
import { daprCall } from '../../../support/dapr-calls.ts';
import { startDapr } from '../../../support/fake-blocks.ts';

t.test('publish, one and many', async (t) => {
  const seen: unknown[] = [];
  let failure: string | undefined;
  const server = await startDapr(t, {
    publish: {
      check: (pubsub) => {
        if (pubsub === 'no') throw runtimeError('pubsubNotFound', { pubsub });
      },
      publish: async (request) => void seen.push(request),
      bulkPublish: async (_pubsub, _topic, entries) => {
        seen.push(entries);
        return {
          failedEntries: [{ entryId: '1', error: 'e' }],
          ...(failure === undefined ? {} : { error: failure }),
        };
      },
    },
  });
  t.match(
    await daprCall(server, 'PublishEvent', PublishEventRequestSchema, EmptySchema, {
      pubsubName: 'p',
      topic: 't',
      data: Buffer.from('x'),
      dataContentType: 'text/plain',
      metadata: { m: '1' },
    }),
    { code: 0 },
  );
  const bulk = (pubsubName: string) =>
    daprCall(server, 'BulkPublishEvent', BulkPublishRequestSchema, BulkPublishResponseSchema, {
      pubsubName,
      topic: 't',
      entries: [
        { entryId: '1', event: Buffer.from('a'), contentType: 'text/plain' },
        { entryId: '2', metadata: { k: 'v' } },
      ],
    });
  t.match((await bulk('p')).message?.failedEntries, [{ entryId: '1', error: 'e' }]);
  t.match(seen, [
    { pubsubName: 'p', topic: 't', data: Buffer.from('x'), contentType: 'text/plain', metadata: { m: '1' } },
    [
      { entryId: '1', event: Buffer.from('a'), contentType: 'text/plain' },
      { entryId: '2', metadata: { k: 'v' } },
    ],
  ]);
  t.match(await bulk('no'), { code: 3, text: 'pubsub no is not found' });
  failure = 'broker gone';
  t.match(await bulk('p'), { code: 13, text: 'error when publishing to topic t in pubsub p: broker gone' });
});

t.test('secrets and locks', async (t) => {
  const server = await startDapr(t, {
    secrets: {
      get: async (_store, key) => (key === 'none' ? undefined : { [key]: 'v' }),
      bulkGet: async () => ({ a: { a: '1' }, b: { x: '2', y: '3' } }),
    },
    lock: { tryLock: async (_store, { expiryInSeconds }) => expiryInSeconds > 5, unlock: async () => 2 },
  });
  const secret = (key: string) =>
    daprCall(server, 'GetSecret', GetSecretRequestSchema, GetSecretResponseSchema, { storeName: 's', key });
  t.same((await secret('k')).message?.data, { k: 'v' });
  t.same((await secret('none')).message?.data, {});
  const all = await daprCall(
    server,
    'GetBulkSecret',
    GetBulkSecretRequestSchema,
    GetBulkSecretResponseSchema,
    { storeName: 's' },
  );
  t.match(all.message?.data, { a: { secrets: { a: '1' } }, b: { secrets: { x: '2', y: '3' } } });
  const lock = (expiryInSeconds: number) =>
    daprCall(server, 'TryLockAlpha1', TryLockRequestSchema, TryLockResponseSchema, {
      storeName: 'l',
      resourceId: 'r',
      lockOwner: 'o',
      expiryInSeconds,
    });
  t.match([(await lock(10)).message, (await lock(1)).message], [{ success: true }, { success: false }]);
  t.match((await daprCall(server, 'UnlockAlpha1', UnlockRequestSchema, UnlockResponseSchema, {})).message, {
    status: 2,
  });
});

t.test('jobs', async (t) => {
  const seen: unknown[] = [];
  const server = await startDapr(t, {
    jobs: {
      schedule: async (job) => void seen.push(job),
      get: async (name) => ({ ...(seen[0] as object), name, overwrite: false }),
      list: async () => [{ name: 'a', schedule: '@daily', overwrite: false }],
    },
  });
  const data = { typeUrl: 'x/y', value: Buffer.from('d') };
  const schedule = (request: object) =>
    daprCall(server, 'ScheduleJob', ScheduleJobRequestSchema, ScheduleJobResponseSchema, request);
  t.match(await schedule({ job: { name: 'j', dueTime: '5s', repeats: 2, data }, overwrite: true }), {
    code: 0,
  });
  t.match(seen, [{ name: 'j', dueTime: '5s', repeats: 2, overwrite: true }]);
  for (const [policy, read] of [
    [{ case: 'drop', value: {} }, { kind: 'drop' }],
    [{ case: 'constant', value: {} }, { kind: 'constant' }],
    [
      { case: 'constant', value: { interval: { seconds: 1n, nanos: 250_000_000 }, maxRetries: 0 } },
      { kind: 'constant', intervalMs: 1250, maxRetries: 0 },
    ],
  ] as const) {
    seen.length = 0;
    await schedule({ job: { name: 'j', dueTime: '5s', data, failurePolicy: { policy } } });
    t.strictSame((seen[0] as JobRequest).failurePolicy, read);
    const { message } = await daprCall(server, 'GetJob', GetJobRequestSchema, GetJobResponseSchema, {
      name: 'j',
    });
    t.match(message?.job?.failurePolicy?.policy, policy, 'and back');
  }
  seen[0] = { dueTime: '5s', repeats: 2, data: toBinary(AnySchema, create(AnySchema, data)) };
  t.match(await schedule({}), { code: 3, text: 'Job is empty' });
  const got = await daprCall(server, 'GetJobAlpha1', GetJobRequestSchema, GetJobResponseSchema, {
    name: 'j',
  });
  t.match(
    got.message?.job,
    { name: 'j', dueTime: '5s', repeats: 2, data },
    'the packed data comes back as it went',
  );
  t.match(
    (await daprCall(server, 'ListJobs', ListJobsRequestSchema, ListJobsResponseSchema, {})).message?.jobs,
    [{ name: 'a', schedule: '@daily' }],
  );
});

t.test('actors and workflows are refused by their blocks, which get the names', async (t) => {
  const seen: unknown[] = [];
  const refuse = async (request: unknown): Promise<never> => {
    seen.push(request);
    throw runtimeError('actorNoPlacement');
  };
  const server = await startDapr(t, { actors: { refuse }, workflow: { refuse } });
  const gone = { code: 14, text: 'placement service is not configured' };
  t.match(
    await daprCall(server, 'InvokeActor', InvokeActorRequestSchema, InvokeActorResponseSchema, {
      actorType: 'T',
      actorId: '1',
      method: 'm',
    }),
    gone,
  );
  t.match(
    await daprCall(server, 'RegisterActorTimer', RegisterActorTimerRequestSchema, EmptySchema, {
      actorType: 'T',
      actorId: '1',
      name: 'n',
    }),
    gone,
  );
  t.match(
    await daprCall(server, 'StartWorkflowBeta1', StartWorkflowRequestSchema, StartWorkflowResponseSchema, {
      instanceId: 'i',
      workflowName: 'w',
    }),
    gone,
  );
  t.same(seen, [
    { type: 'T', id: '1', direct: false },
    { type: 'T', id: '1', name: 'n', direct: true },
    { operation: 'start', instanceId: 'i', workflowName: 'w' },
  ]);
});

t.test('metadata and shutdown', async (t) => {
  const set: unknown[] = [];
  const stops: boolean[] = [];
  const answer: MetadataAnswer = {
    id: 'a',
    runtimeVersion: '1.18.3',
    enabledFeatures: ['F'],
    extended: { k: 'v' },
    httpEndpoints: ['e'],
    resiliencies: ['r'],
    components: [{ name: 'c', type: 'state.x', version: 'v1', capabilities: ['ETAG'] }],
    subscriptions: [
      {
        pubsubName: 'p',
        topic: 't',
        metadata: {},
        rules: [{ match: 'm', path: '/x' }],
        deadLetterTopic: 'd',
        type: 'STREAMING',
      },
    ],
    appConnection: {
      port: 1,
      protocol: 'http',
      channelAddress: 'h',
      maxConcurrency: 2,
      health: { path: '/ok', intervalMs: 1500, timeoutMs: 500, threshold: 3 },
    },
    actorRuntime: { status: 'DISABLED', hostReady: false, placement: 'placement: disconnected' },
    schedulerAddresses: ['s:1'],
  };
  const server = await startDapr(t, {
    metadata: { get: () => answer, set: (key, value) => void set.push([key, value]) },
    node: { shutdown: (force) => void stops.push(force) },
  });
  t.match(
    (await daprCall(server, 'GetMetadata', GetMetadataRequestSchema, GetMetadataResponseV118Schema, {}))
      .message,
    {
      id: 'a',
      runtimeVersion: '1.18.3',
      enabledFeatures: ['F'],
      extendedMetadata: { k: 'v' },
      httpEndpoints: [{ name: 'e' }],
      resiliencies: [{ name: 'r' }],
      registeredComponents: [{ name: 'c', type: 'state.x', version: 'v1', capabilities: ['ETAG'] }],
      subscriptions: [
        {
          pubsubName: 'p',
          topic: 't',
          rules: { rules: [{ match: 'm', path: '/x' }] },
          deadLetterTopic: 'd',
          type: 3,
        },
      ],
      appConnectionProperties: {
        port: 1,
        protocol: 'http',
        channelAddress: 'h',
        maxConcurrency: 2,
        health: {
          healthCheckPath: '/ok',
          healthProbeInterval: '1.5s',
          healthProbeTimeout: '500ms',
          healthThreshold: 3,
        },
      },
      actorRuntime: { runtimeStatus: 1, hostReady: false, placement: 'placement: disconnected' },
      scheduler: { connectedAddresses: ['s:1'] },
      workflows: { connectedWorkers: 0 },
    },
  );
  await daprCall(server, 'SetMetadata', SetMetadataRequestSchema, EmptySchema, { key: 'k', value: 'v' });
  t.same(set, [['k', 'v']]);
  t.match(await daprCall(server, 'Shutdown', ShutdownRequestSchema, EmptySchema, {}), { code: 0 });
  await daprCall(
    server,
    'Shutdown',
    ShutdownRequestSchema,
    EmptySchema,
    {},
    { 'dapr-force-shutdown': 'TRUE' },
  );
  t.same(stops, [false, true]);
});

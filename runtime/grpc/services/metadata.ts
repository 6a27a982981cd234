/** Metadata of the sidecar and its shutdown (gRPC reference, section 2.9). */

import type { MessageInitShape } from '@bufbuild/protobuf';
import type { MetadataAnswer, SubscriptionInfo } from '../../contracts/blocks.ts';
import { formatGoDuration } from '../../contracts/duration.ts';
import { metadataValues } from '../../contracts/grpc-wire/metadata.ts';
import { ShutdownRequestSchema } from '../../generated/dapr/proto/runtime/v1/dapr_pb.ts';
import {
  ActorRuntime_ActorRuntimeStatus as ActorStatus,
  type AppConnectionPropertiesSchema,
  GetMetadataRequestSchema,
  type PubsubSubscriptionSchema,
  PubsubSubscriptionType,
  SetMetadataRequestSchema,
} from '../../generated/dapr/proto/runtime/v1/metadata_pb.ts';
import { GetMetadataResponseV118Schema } from '../../generated/skerry_additions_pb.ts';
import { command, type Operations, type ServiceDeps, unary } from './method.ts';

/** The metadata and shutdown operations. */
export function metadataOperations({
  blocks: { metadata, node },
}: ServiceDeps): Operations<'metadataGet' | 'metadataSet' | 'shutdown'> {
  return {
    metadataGet: unary(GetMetadataRequestSchema, GetMetadataResponseV118Schema, async () =>
      answerOf(metadata.get()),
    ),
    metadataSet: command(SetMetadataRequestSchema, async ({ key, value }) => metadata.set(key, value)),
    shutdown: command(ShutdownRequestSchema, async (_request, call) => {
      const force = metadataValues(call.metadata, 'dapr-force-shutdown').some(
        (value) => value.toLowerCase() === 'true',
      );
      node.shutdown(force);
    }),
  };
}

function answerOf(answer: MetadataAnswer): MessageInitShape<typeof GetMetadataResponseV118Schema> {
  const { status, hostReady, placement } = answer.actorRuntime;
  return {
    id: answer.id,
    registeredComponents: answer.components.map(({ name, type, version, capabilities }) => ({
      name,
      type,
      version,
      capabilities: [...capabilities],
    })),
    extendedMetadata: { ...answer.extended },
    subscriptions: answer.subscriptions.map(subscriptionOf),
    httpEndpoints: answer.httpEndpoints.map((name) => ({ name })),
    appConnectionProperties: connectionOf(answer.appConnection),
    runtimeVersion: answer.runtimeVersion,
    enabledFeatures: [...answer.enabledFeatures],
    actorRuntime: { runtimeStatus: ActorStatus[status], hostReady, placement },
    workflows: {},
    resiliencies: answer.resiliencies.map((name) => ({ name })),
    ...(answer.schedulerAddresses.length === 0
      ? {}
      : { scheduler: { connectedAddresses: [...answer.schedulerAddresses] } }),
  };
}

function subscriptionOf(info: SubscriptionInfo): MessageInitShape<typeof PubsubSubscriptionSchema> {
  return {
    pubsubName: info.pubsubName,
    topic: info.topic,
    metadata: { ...info.metadata },
    rules: { rules: info.rules.map(({ match, path }) => ({ match, path })) },
    deadLetterTopic: info.deadLetterTopic,
    type: PubsubSubscriptionType[info.type],
  };
}

function connectionOf(
  connection: MetadataAnswer['appConnection'],
): MessageInitShape<typeof AppConnectionPropertiesSchema> {
  const { port, protocol, channelAddress, maxConcurrency, health } = connection;
  if (health === undefined) return { port, protocol, channelAddress, maxConcurrency };
  return {
    port,
    protocol,
    channelAddress,
    maxConcurrency,
    health: {
      // A gRPC app is probed by a method, not by a path.
      healthCheckPath: protocol.startsWith('grpc') ? '' : health.path,
      healthProbeInterval: formatGoDuration(health.intervalMs),
      healthProbeTimeout: formatGoDuration(health.timeoutMs),
      healthThreshold: health.threshold,
    },
  };
}

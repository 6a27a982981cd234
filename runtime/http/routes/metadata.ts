/** Metadata over HTTP (Dapr HTTP reference, section 19). Empty and zero members are left out. */

import type { MetadataAnswer, MetadataBlock, SubscriptionInfo } from '../../contracts/blocks.ts';
import { formatGoDuration } from '../../contracts/duration.ts';
import { jsonText } from '../../contracts/go-json.ts';
import type { JsonObject } from '../json-fields.ts';
import { checkMessage, readMessageBytes } from '../message-fields.ts';
import { jsonReply, NO_CONTENT } from '../respond.ts';
import type { HttpHandlers } from '../router.ts';

export function metadataHandlers(metadata: MetadataBlock): Pick<HttpHandlers, 'metadataGet' | 'metadataSet'> {
  return {
    metadataGet: async (request) => {
      await checkMessage(request);
      return jsonReply(200, `${orderedJson(metadataJson(metadata.get()))}\n`);
    },
    metadataSet: async (request) => {
      const value = await readMessageBytes(request);
      metadata.set(request.param(0), Buffer.from(value).toString('utf8'));
      return NO_CONTENT;
    },
  };
}

/** JSON in member order, strings escaped as the plain encoder does. */
function orderedJson(value: unknown): string {
  if (typeof value === 'string') return jsonText(value);
  if (value === null || typeof value !== 'object') return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(orderedJson).join(',')}]`;
  return `{${Object.entries(value)
    .map(([name, member]) => `${jsonText(name)}:${orderedJson(member)}`)
    .join(',')}}`;
}

/** Members that hold something. */
function filled(members: JsonObject): JsonObject {
  return Object.fromEntries(Object.entries(members).filter(([, value]) => !isEmpty(value)));
}

function isEmpty(value: unknown): boolean {
  if (value === undefined || value === '' || value === 0) return true;
  return (
    typeof value === 'object' &&
    value !== null &&
    (Array.isArray(value) ? value.length : Object.keys(value).length) === 0
  );
}

function metadataJson(answer: MetadataAnswer): JsonObject {
  const { appConnection: app, actorRuntime } = answer;
  return filled({
    id: answer.id,
    runtimeVersion: answer.runtimeVersion,
    enabledFeatures: answer.enabledFeatures,
    components: answer.components.map((component) => filled({ ...component })),
    extended: answer.extended,
    subscriptions: answer.subscriptions.map(subscriptionJson),
    httpEndpoints: answer.httpEndpoints.map((name) => ({ name })),
    appConnectionProperties: filled({
      port: app.port,
      protocol: app.protocol,
      channelAddress: app.channelAddress,
      // No bound is not shown.
      maxConcurrency: Math.max(0, app.maxConcurrency),
      health:
        app.health === undefined
          ? undefined
          : filled({
              // gRPC apps have no path.
              healthCheckPath: app.protocol.startsWith('grpc') ? undefined : app.health.path,
              healthProbeInterval: formatGoDuration(app.health.intervalMs),
              healthProbeTimeout: formatGoDuration(app.health.timeoutMs),
              healthThreshold: app.health.threshold,
            }),
    }),
    actorRuntime: {
      runtimeStatus: actorRuntime.status,
      hostReady: actorRuntime.hostReady,
      ...(actorRuntime.placement === '' ? {} : { placement: actorRuntime.placement }),
    },
    scheduler:
      answer.schedulerAddresses.length === 0 ? undefined : { connected_addresses: answer.schedulerAddresses },
    resiliencies: answer.resiliencies.map((name) => ({ name })),
  });
}

function subscriptionJson(subscription: SubscriptionInfo): JsonObject {
  const { pubsubName, topic, metadata, rules, deadLetterTopic, type } = subscription;
  return {
    pubsubname: pubsubName,
    topic,
    ...(Object.keys(metadata).length === 0 ? {} : { metadata }),
    ...(rules.length === 0 ? {} : { rules: rules.map(({ match, path }) => filled({ match, path })) }),
    deadLetterTopic,
    type,
  };
}

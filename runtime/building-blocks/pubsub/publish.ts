/**
 * The publish block (HTTP reference, section 7; gRPC reference, 2.3): checks in Dapr's order, wraps the message in a
 * CloudEvent unless `rawPayload` is set, hands it to the component. A resolved publish is confirmed by the component.
 */

import type { PublishBlock, PublishRequest, StringMap } from '../../contracts/blocks.ts';
import type { CallContext } from '../../contracts/call-context.ts';
import type { Clock } from '../../contracts/clock.ts';
import { CLOUD_EVENTS_JSON } from '../../contracts/cloud-event.ts';
import type { ComponentSource, LoadedComponent } from '../../contracts/component-source.ts';
import { errorText, RuntimeError, runtimeError } from '../../contracts/error.ts';
import type { Ids } from '../../contracts/ids.ts';
import type { Logger } from '../../contracts/logger.ts';
import type { Metrics } from '../../contracts/metrics.ts';
import type { Policies } from '../../contracts/resiliency.ts';
import { type Span, type Tracer, ZERO_TRACEPARENT } from '../../contracts/trace.ts';
import { createBulkPublish } from './bulk-publish.ts';
import { type EnvelopeRequest, envelopeText } from './cloud-event-envelope.ts';
import { expirationText, rfc3339 } from './message-ttl.ts';
import { createPublisher, type PublishRaw } from './publisher.ts';
import { isRawPayload } from './raw-payload.ts';
import { type ReadyEvent, readyEvent, redirectEvent } from './ready-event.ts';
import { createTopicScopes, type TopicScopesOf } from './topic-scopes.ts';

export interface PublishOptions {
  readonly appId: string;
  /** `NAMESPACE`: metric label and topic prefix. Empty when it is not set; topics then get `default`. */
  readonly namespace: string;
  readonly components: ComponentSource;
  readonly policies: Policies;
  readonly clock: Clock;
  readonly ids: Ids;
  readonly metrics: Metrics;
  readonly log: Logger;
  readonly tracer: Tracer;
}

/** The block, and what other blocks need of it. */
export interface Publishing extends PublishBlock {
  /** For dead letters and the outbox: bytes as they are, under scopes and the outbound policy. */
  readonly publishRaw: PublishRaw;
  readonly scopesOf: TopicScopesOf;
  /** Envelope of an event that the runtime makes itself, from this app and under the trace of `span`. */
  readyEvent(event: ReadyEvent, span: Span): Uint8Array;
  /** The same envelope for another topic. */
  redirectEvent(envelope: Uint8Array, pubsubName: string, topic: string): Uint8Array;
}

/** Makes the envelope bytes of one message; throws a `RuntimeError` for a declared event that is none. */
export type Wrap = (
  component: LoadedComponent<'pubsub'>,
  message: PublishRequest,
  span: Span,
) => Uint8Array<ArrayBuffer>;

export function createPublishBlock(options: PublishOptions): Publishing {
  const { appId, namespace, clock, metrics } = options;
  const scopesOf = createTopicScopes(appId, namespace === '' ? 'default' : namespace);
  const publisher = createPublisher({ ...options, scopesOf });
  const wrap = createWrap(options);

  const check = (pubsubName: string, topic: string, metadata: StringMap): CheckedPublish => {
    if (pubsubName === '') throw runtimeError('pubsubNameEmpty', { pubsub: '' }, { info: metadata });
    const component = options.components.get('pubsub', pubsubName);
    if (component === undefined) {
      throw runtimeError('pubsubNotFound', { pubsub: pubsubName }, { info: metadata });
    }
    if (topic === '') throw runtimeError('pubsubTopicEmpty', { pubsub: pubsubName }, { info: metadata });
    try {
      return { component, raw: isRawPayload(metadata) };
    } catch (error) {
      throw runtimeError(
        'pubsubMetadata',
        { pubsub: pubsubName, error: errorText(error) },
        { info: metadata },
      );
    }
  };

  const publish = async (request: PublishRequest, call: CallContext): Promise<void> => {
    const { pubsubName, topic, metadata } = request;
    const { component, raw } = check(pubsubName, topic, metadata);
    const message = raw
      ? { topic, data: request.data, metadata: rawMetadata(metadata, call) }
      : { topic, data: wrap(component, request, call.span), contentType: CLOUD_EVENTS_JSON, metadata };
    const started = clock.monotonicMs();
    let success = 'false';
    try {
      await publisher.publishRaw(pubsubName, message, call.signal, call.protocol);
      success = 'true';
    } catch (error) {
      throw publishError(pubsubName, topic, error);
    } finally {
      const labels = { component: pubsubName, namespace, success, topic };
      metrics.count('component_pubsub_egress_count', labels);
      metrics.observe('component_pubsub_egress_latencies', labels, clock.monotonicMs() - started);
    }
  };

  /** Bytes have no envelope for the trace; a gRPC publisher's travels as message metadata (gRPC reference, 2.3). */
  const rawMetadata = (metadata: StringMap, call: CallContext): StringMap => {
    if (call.protocol !== 'grpc') return metadata;
    const { traceparent, tracestate } = traceFields(options.tracer, call.span);
    return { ...metadata, traceid: traceparent, tracestate };
  };

  return {
    check: (pubsubName, topic, metadata) => void check(pubsubName, topic, metadata),
    publish,
    bulkPublish: createBulkPublish({ ...options, check, wrap, publisher }),
    publishRaw: publisher.publishRaw,
    scopesOf,
    readyEvent: (event, span) => {
      const time = rfc3339(clock.now());
      return readyEvent(event, { source: appId, time, ...traceFields(options.tracer, span) });
    },
    redirectEvent,
  };
}

/** What the checks before a body found out. */
export interface CheckedPublish {
  readonly component: LoadedComponent<'pubsub'>;
  readonly raw: boolean;
}

/** The error a client sees when handing over failed. */
export function publishError(pubsub: string, topic: string, cause: unknown): RuntimeError {
  if (cause instanceof RuntimeError) return cause;
  const error = errorText(cause);
  return runtimeError('pubsubPublish', { pubsub, topic, error }, { cause, info: { topic, error } });
}

/** Trace fields of an envelope: empty texts without a valid span or with tracing turned off. */
function traceFields(
  tracer: Tracer,
  span: Span,
): { readonly traceparent: string; readonly tracestate: string } {
  const { traceparent = '', tracestate = '' } = tracer.enabled ? span.context : {};
  return { traceparent: traceparent === ZERO_TRACEPARENT ? '' : traceparent, tracestate };
}

function createWrap(options: PublishOptions): Wrap {
  const { appId, clock, ids, tracer } = options;
  let second = Number.NaN;
  let secondText = '';
  const timeText = (now: number): string => {
    const current = Math.floor(now / 1000);
    if (current !== second) {
      second = current;
      secondText = rfc3339(now);
    }
    return secondText;
  };
  const newId = (): string => ids.uuid();

  return (component, message, span) => {
    const now = clock.now();
    const managesTtl = !component.instance.features.includes('MESSAGE_TTL');
    const request: EnvelopeRequest = {
      pubsubName: message.pubsubName,
      topic: message.topic,
      data: message.data,
      contentType: message.contentType,
      metadata: message.metadata,
      source: appId,
      ...traceFields(tracer, span),
      time: timeText(now),
      expiration: managesTtl ? expirationText(message.metadata, now) : undefined,
      newId,
    };
    try {
      return Buffer.from(envelopeText(request));
    } catch (cause) {
      const info = { appID: appId, error: errorText(cause) };
      throw runtimeError('pubsubCloudEvent', { pubsub: message.pubsubName }, { cause, info });
    }
  };
}

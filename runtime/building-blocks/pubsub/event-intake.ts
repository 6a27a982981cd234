/**
 * What happens to a message before anybody is called: decode, drop what is late, find the route. Used by single and bulk
 * delivery alike.
 */

import type { DeliveryResult } from '../../contracts/app-channel.ts';
import type { Clock } from '../../contracts/clock.ts';
import { errorText } from '../../contracts/error.ts';
import type { Logger } from '../../contracts/logger.ts';
import type { Metrics } from '../../contracts/metrics.ts';
import type { IncomingMessage } from '../../contracts/pubsub.ts';
import type { Policies } from '../../contracts/resiliency.ts';
import { type TraceContext, type Tracer, ZERO_TRACEPARENT } from '../../contracts/trace.ts';
import type { DeadLetters } from './dead-letter.ts';
import { type DecodeOptions, decodeIncoming, type IncomingEvent } from './incoming-event.ts';
import { hasExpired } from './message-ttl.ts';
import type { RoutingRules } from './routing-rules.ts';

/** A subscription in force, as the delivery pipeline sees it. */
export interface DeliverySubscription {
  readonly pubsubName: string;
  readonly topic: string;
  readonly raw: boolean;
  readonly rules: RoutingRules;
  /** Empty: none. */
  readonly deadLetterTopic: string;
  /** Topic name as apps know it, of a name at the broker. */
  readonly appTopic: (brokerTopic: string) => string;
}

export interface DeliveryDeps {
  readonly namespace: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly tracer: Tracer;
  readonly policies: Policies;
  readonly deadLetters: DeadLetters;
  readonly newId: () => string;
  readonly decodeCbor?: (bytes: Uint8Array) => unknown;
}

export type Admission =
  | { readonly kind: 'deliver'; readonly event: IncomingEvent; readonly path: string }
  /** Dealt with: late, or no rule wants it. */
  | { readonly kind: 'dropped'; readonly status: string }
  | { readonly kind: 'failed'; readonly error: Error };

export type Intake = (message: IncomingMessage, topic: string) => Promise<Admission>;

export function createIntake(deps: DeliveryDeps, subscription: DeliverySubscription): Intake {
  const { log, deadLetters } = deps;
  const { pubsubName, deadLetterTopic } = subscription;
  const options: DecodeOptions = {
    pubsubName,
    raw: subscription.raw,
    newId: deps.newId,
    ...(deps.decodeCbor === undefined ? {} : { decodeCbor: deps.decodeCbor }),
  };
  const where = (topic: string): string => `in pubsub ${pubsubName} and topic ${topic}`;
  const failed = (what: string, error: unknown): Admission => {
    log.error(`${what}: ${errorText(error)}`);
    return { kind: 'failed', error: error instanceof Error ? error : new Error(String(error)) };
  };

  return async (message, topic) => {
    let event: IncomingEvent;
    try {
      event = decodeIncoming(message, topic, options);
    } catch (error) {
      return failed(`error deserializing cloud event ${where(topic)}`, error);
    }
    const { envelope } = event;
    if (hasExpired(envelope, deps.clock.now())) {
      log.warn(`dropping expired pub/sub event ${envelope['id']} as of ${envelope['expiration']}`);
      await deadLetters.send(pubsubName, deadLetterTopic, message);
      return { kind: 'dropped', status: 'drop' };
    }
    let path: string | undefined;
    try {
      path = subscription.rules.match(envelope);
    } catch (error) {
      return failed(`error finding matching route for event ${envelope['id']} ${where(topic)}`, error);
    }
    if (path !== undefined) return { kind: 'deliver', event, path };
    log.debug(`no matching route for event ${envelope['id']} ${where(topic)}; skipping`);
    await deadLetters.send(pubsubName, deadLetterTopic, message);
    return { kind: 'dropped', status: 'success' };
  };
}

/** The message with the component's name among its metadata, as apps and dead letters get it. */
export function withPubsubName(message: IncomingMessage, pubsubName: string): IncomingMessage {
  return { ...message, metadata: { ...message.metadata, pubsubName } };
}

export interface DeliverySpan {
  readonly trace: TraceContext;
  /** Ends it; a result that asks for another delivery marks it failed. */
  end(result?: DeliveryResult): void;
}

const NO_SPAN: DeliverySpan = { trace: {}, end: () => {} };

/**
 * The span of a delivery: its parent is the envelope's `traceparent`, else its `traceid`. An empty text starts one
 * without a parent; no text at all, or tracing turned off, means no trace headers.
 */
export function startDeliverySpan(
  tracer: Tracer,
  topic: string,
  envelope: IncomingEvent['envelope'],
): DeliverySpan {
  const parent = envelope['traceparent'] ?? envelope['traceid'];
  if (typeof parent !== 'string' || !tracer.enabled) return NO_SPAN;
  const span = tracer.start(`pubsub/${topic}`, parent === '' ? {} : { traceparent: parent });
  if (span.recording === true) {
    span.setAttribute('messaging.system', 'pubsub');
    span.setAttribute('messaging.destination.name', topic);
  }
  return {
    trace: { traceparent: span.context.traceparent ?? ZERO_TRACEPARENT },
    end: (result) => span.end(result?.kind === 'retry' ? errorText(result.error) : undefined),
  };
}

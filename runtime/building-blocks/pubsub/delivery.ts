/**
 * Delivery of single messages (HTTP reference, 8.4 and 8.5; gRPC reference, 3.1): intake, the call under the component's
 * inbound policy, then acknowledgement, dead letter or redelivery. Resolving acknowledges the message.
 */

import type { DeliveryResult, TopicDelivery } from '../../contracts/app-channel.ts';
import { errorText } from '../../contracts/error.ts';
import {
  type IncomingMessage,
  type MessageHandler,
  SubscriptionClosingError,
} from '../../contracts/pubsub.ts';
import type { StatusCarrier } from '../../contracts/resiliency.ts';
import {
  type Admission,
  createIntake,
  type DeliveryDeps,
  type DeliverySubscription,
  startDeliverySpan,
  withPubsubName,
} from './event-intake.ts';
import type { Flight, InFlight } from './in-flight.ts';

/** Who gets the events: the app, or one streaming subscriber. */
export type Receive = (delivery: TopicDelivery, signal: AbortSignal) => Promise<DeliveryResult>;

/** Status of a failed answer for `matching` lists; an answer of 2xx that asks for a retry carries none. */
export function retryStatus(result: DeliveryResult & { kind: 'retry' }): StatusCarrier {
  const { httpStatus, grpcCode } = result;
  if (httpStatus !== undefined) return httpStatus >= 300 ? { httpStatus } : {};
  return grpcCode === undefined || grpcCode === 0 ? {} : { grpcCode };
}

/** Makes the handler that a component calls for each message of `subscription`. */
export function createDelivery(
  deps: DeliveryDeps,
  subscription: DeliverySubscription,
  receive: Receive,
  inFlight: InFlight,
): MessageHandler {
  const { clock, log, metrics, deadLetters } = deps;
  const { pubsubName, deadLetterTopic } = subscription;
  const intake = createIntake(deps, subscription);
  const policy = deps.policies.componentInbound(pubsubName, 'Pubsub');

  const count = (topic: string, processStatus: string, status = processStatus, elapsedMs?: number): void => {
    const labels = {
      component: pubsubName,
      namespace: deps.namespace,
      process_status: processStatus,
      status,
      topic,
    };
    metrics.count('component_pubsub_ingress_count', labels);
    if (elapsedMs !== undefined) metrics.observe('component_pubsub_ingress_latencies', labels, elapsedMs);
  };

  /** Last resort for a message that could not be delivered. Without it the component's own redelivery applies. */
  const giveUp = async (
    topic: string,
    message: IncomingMessage,
    error: Error,
    { signal }: Flight,
  ): Promise<void> => {
    // What the component took back goes to another subscriber.
    const takenBack = signal.reason instanceof SubscriptionClosingError;
    if (!inFlight.closing && !takenBack && (await deadLetters.send(pubsubName, deadLetterTopic, message))) {
      return count(topic, 'drop');
    }
    // Beside the attempts: the message itself remains to be delivered.
    if (!inFlight.closing) count(topic, 'retry');
    throw error;
  };

  const call = async (delivery: TopicDelivery, flight: Flight): Promise<DeliveryResult> => {
    const attempt = (signal: AbortSignal): Promise<DeliveryResult> =>
      flight.attempt(async () => {
        const started = clock.monotonicMs();
        const measure = (processStatus: string, status?: string): void =>
          count(delivery.topic, processStatus, status, clock.monotonicMs() - started);
        try {
          const result = await receive(delivery, signal);
          if (result.kind === 'drop') measure('drop', result.unknown === true ? 'drop' : 'success');
          else measure(result.kind);
          return result;
        } catch (error) {
          measure('retry');
          throw error;
        }
      });
    try {
      if (!policy.active) return await attempt(flight.signal);
      return await policy.run(attempt, {
        signal: flight.signal,
        failed: (result) => (result.kind === 'retry' ? retryStatus(result) : undefined),
      });
    } catch (error) {
      return { kind: 'retry', error: error instanceof Error ? error : new Error(String(error)) };
    }
  };

  const deliver = async (
    { event, path }: Extract<Admission, { kind: 'deliver' }>,
    topic: string,
    message: IncomingMessage,
    flight: Flight,
  ): Promise<void> => {
    const { id } = event.envelope;
    const span = startDeliverySpan(deps.tracer, topic, event.envelope);
    const { metadata } = message;
    const result = await call({ path, ...event, pubsubName, topic, metadata, trace: span.trace }, flight);
    span.end(result);
    if (result.kind === 'success') return;
    if (result.kind === 'retry') {
      log.warn(`could not deliver event ${id} of topic ${topic}: ${errorText(result.error)}`);
      return giveUp(topic, message, result.error, flight);
    }
    log.warn(`event ${id} of topic ${topic} was dropped by the subscriber`);
    if (
      deadLetterTopic === '' ||
      result.final === true ||
      (await deadLetters.send(pubsubName, deadLetterTopic, message))
    )
      return;
    // Dropped, but meant to be kept: the component may deliver it again.
    throw new Error('pubsub message dropped');
  };

  const process = async (original: IncomingMessage, flight: Flight): Promise<void> => {
    const topic = subscription.appTopic(original.topic);
    const message = withPubsubName(original, pubsubName);
    const admission = await intake(message, topic);
    if (admission.kind === 'deliver') return deliver(admission, topic, message, flight);
    if (admission.kind === 'dropped') return count(topic, 'drop', admission.status);
    return giveUp(topic, message, admission.error, flight);
  };

  return (message, signal) => inFlight.run(signal, (flight) => process(message, flight));
}

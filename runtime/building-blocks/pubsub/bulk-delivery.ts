/**
 * Delivery of batches (HTTP reference, 8.6): one call per matched route, a verdict per entry, repeated under the inbound
 * policy for the entries that failed only. Entries that match no rule are dropped (dead letter), never posted.
 */

import type { BulkDeliveryEntry, BulkTopicDelivery, DeliveryResult } from '../../contracts/app-channel.ts';
import { errorText } from '../../contracts/error.ts';
import {
  type BulkMessageHandler,
  type IncomingMessage,
  SubscriptionClosingError,
} from '../../contracts/pubsub.ts';
import type { StatusCarrier } from '../../contracts/resiliency.ts';
import type { TraceContext } from '../../contracts/trace.ts';
import { retryStatus } from './delivery.ts';
import {
  createIntake,
  type DeliveryDeps,
  type DeliverySpan,
  type DeliverySubscription,
  startDeliverySpan,
  withPubsubName,
} from './event-intake.ts';
import type { Flight, InFlight } from './in-flight.ts';
import type { IncomingEvent } from './incoming-event.ts';
import { mapConcurrently } from './map-concurrently.ts';

export type ReceiveBulk = (
  delivery: BulkTopicDelivery,
  signal: AbortSignal,
) => Promise<readonly DeliveryResult[]>;

const MAX_DEAD_LETTERS = 100;

/** One message of a batch on its way. */
interface Entry {
  readonly index: number;
  readonly message: IncomingMessage;
  readonly event: IncomingEvent;
  readonly delivery: BulkDeliveryEntry;
}

type Outcome = DeliveryResult | { readonly kind: 'done' };

/** Makes the handler for batches of `subscription`; its result acknowledges message by message. */
export function createBulkDelivery(
  deps: DeliveryDeps,
  subscription: DeliverySubscription,
  receive: ReceiveBulk,
  inFlight: InFlight,
): BulkMessageHandler {
  const { clock, log, metrics, deadLetters } = deps;
  const { pubsubName, topic, deadLetterTopic } = subscription;
  const intake = createIntake(deps, subscription);
  const policy = deps.policies.componentInbound(pubsubName, 'Pubsub');

  const admit = async (
    message: IncomingMessage,
    index: number,
  ): Promise<readonly [string, Entry] | Outcome> => {
    const admission = await intake(withPubsubName(message, pubsubName), subscription.appTopic(message.topic));
    if (admission.kind === 'dropped') return { kind: 'done' };
    if (admission.kind === 'failed') return { kind: 'retry', error: admission.error };
    const { event, path } = admission;
    const delivery: BulkDeliveryEntry = {
      entryId: deps.newId(),
      event: subscription.raw ? message.data : event.envelope,
      contentType: message.contentType ?? '',
      metadata: message.metadata,
    };
    return [path, { index, message, event, delivery }];
  };

  /** Spans of the events of a batch. The batch itself carries one trace, that of its last traced event. */
  const startSpans = (entries: readonly Entry[]): { spans: readonly DeliverySpan[]; trace: TraceContext } => {
    // Bytes have no trace of their own.
    if (subscription.raw) return { spans: [], trace: {} };
    const spans = entries.map(({ event }) => startDeliverySpan(deps.tracer, topic, event.envelope));
    return { spans, trace: spans.findLast((span) => span.trace.traceparent !== undefined)?.trace ?? {} };
  };

  /** Calls one route until every entry has a final verdict; verdicts are written to `outcomes`. */
  const deliver = async (
    path: string,
    entries: readonly Entry[],
    outcomes: Outcome[],
    flight: Flight,
  ): Promise<void> => {
    let remaining = entries;
    const { spans, trace } = startSpans(entries);
    const id = deps.newId();
    const attempt = (signal: AbortSignal): Promise<StatusCarrier | undefined> =>
      flight.attempt(async () => {
        const sent = remaining.map((entry) => entry.delivery);
        const envelope = { id, path, pubsubName, topic, trace, metadata: { pubsubName }, entries: sent };
        const results = await receive(envelope, signal);
        // Too late: the policy's timeout has passed and these entries have been tried again, or given up.
        if (signal.aborted) return undefined;
        for (const [at, entry] of remaining.entries()) {
          outcomes[entry.index] = results[at] ?? noVerdict(entry.delivery.entryId);
        }
        remaining = remaining.filter(({ index }) => outcomes[index]?.kind === 'retry');
        const failure = outcomes[remaining.at(-1)?.index ?? -1];
        return failure?.kind === 'retry' ? retryStatus(failure) : undefined;
      });
    try {
      if (!policy.active) await attempt(flight.signal);
      else await policy.run(attempt, { signal: flight.signal, failed: (status) => status });
    } catch (error) {
      const reason = error instanceof Error ? error : new Error(String(error));
      for (const { index } of remaining) outcomes[index] = { kind: 'retry', error: reason };
    }
    for (const span of spans) span.end();
  };

  /** What is to be told of a message that was not taken; undefined: nothing. */
  const failureOf = (outcome: Outcome): Error | undefined => {
    if (outcome.kind === 'retry') return outcome.error;
    const unwanted = outcome.kind === 'drop' && outcome.final !== true && deadLetterTopic !== '';
    return unwanted ? new Error('pubsub message dropped') : undefined;
  };

  /** What the component is told about one message, after dead letters. */
  const conclude = async (
    message: IncomingMessage,
    outcome: Outcome,
    { signal }: Flight,
  ): Promise<Error | undefined> => {
    const error = failureOf(outcome);
    if (error === undefined) return undefined;
    if (outcome.kind === 'retry') {
      log.warn(`could not deliver an event of topic ${topic}: ${errorText(error)}`);
      // What the component took back goes to another subscriber.
      if (inFlight.closing || signal.reason instanceof SubscriptionClosingError) return error;
    }
    const letter = withPubsubName(message, pubsubName);
    return (await deadLetters.send(pubsubName, deadLetterTopic, letter)) ? undefined : error;
  };

  const process = async (
    messages: readonly IncomingMessage[],
    flight: Flight,
  ): Promise<readonly (Error | undefined)[]> => {
    const started = clock.monotonicMs();
    const outcomes: Outcome[] = new Array(messages.length);
    const routes = new Map<string, Entry[]>();
    for (const [index, message] of messages.entries()) {
      const admitted = await admit(message, index);
      if ('kind' in admitted) {
        outcomes[index] = admitted;
        continue;
      }
      const [path, entry] = admitted;
      const same = routes.get(path);
      if (same === undefined) routes.set(path, [entry]);
      else same.push(entry);
    }
    await Promise.all([...routes].map(([path, entries]) => deliver(path, entries, outcomes, flight)));
    const results = await mapConcurrently(messages, MAX_DEAD_LETTERS, (message, index) =>
      conclude(message, outcomes[index] ?? { kind: 'done' }, flight),
    );
    measure(outcomes, results, clock.monotonicMs() - started);
    return results;
  };

  const measure = (
    outcomes: readonly Outcome[],
    results: readonly (Error | undefined)[],
    elapsedMs: number,
  ): void => {
    const labels = { component: pubsubName, namespace: deps.namespace, topic };
    const events = { success: 0, retry: 0, drop: 0 };
    for (const [index, outcome] of outcomes.entries()) {
      if (outcome.kind === 'success') events.success += 1;
      else if (outcome.kind === 'retry' && results[index] !== undefined) events.retry += 1;
      else events.drop += 1;
    }
    metrics.count('component_pubsub_ingress_bulk_count', labels);
    metrics.observe('component_pubsub_ingress_bulk_latencies', labels, elapsedMs);
    for (const [process_status, amount] of Object.entries(events)) {
      if (amount > 0)
        metrics.count('component_pubsub_ingress_bulk_event_count', { ...labels, process_status }, amount);
    }
  };

  return (messages, signal) => inFlight.run(signal, (flight) => process(messages, flight));
}

function noVerdict(entryId: string): DeliveryResult {
  const text = `response not received, RETRY required while processing bulk subscribe event for entry id: ${entryId}`;
  return { kind: 'retry', error: new Error(text) };
}

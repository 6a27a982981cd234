/**
 * Streaming subscriptions (gRPC reference, section 2.4): the app opens a stream, gets events on it and answers each by
 * its CloudEvent id. Many may be in flight; an event whose stream ends unanswered was not handled, and the component gives
 * it to the next subscriber.
 */

import type { MessageInitShape } from '@bufbuild/protobuf';
import type { DeliveryResult } from '../../contracts/app-channel.ts';
import type { StreamedEvent } from '../../contracts/blocks.ts';
import { type RuntimeError, runtimeError } from '../../contracts/error.ts';
import { SubscriptionClosingError } from '../../contracts/pubsub.ts';
import { TopicEventResponse_TopicEventResponseStatus as EventStatus } from '../../generated/dapr/proto/runtime/v1/appcallback_pb.ts';
import {
  type SubscribeTopicEventsRequestAlpha1,
  SubscribeTopicEventsRequestAlpha1Schema,
  SubscribeTopicEventsResponseAlpha1Schema,
} from '../../generated/dapr/proto/runtime/v1/pubsub_pb.ts';
import { type Channel, createChannel } from './channel.ts';
import { bidi, type Operations, type ServiceDeps } from './method.ts';

type Outgoing = MessageInitShape<typeof SubscribeTopicEventsResponseAlpha1Schema>;
type Answered = (result: DeliveryResult) => void;

/** The streaming subscription. */
export function subscribeOperations(deps: ServiceDeps): Operations<'subscribeStream'> {
  return {
    subscribeStream: bidi(
      SubscribeTopicEventsRequestAlpha1Schema,
      SubscribeTopicEventsResponseAlpha1Schema,
      (requests) => serve(requests[Symbol.asyncIterator](), deps),
    ),
  };
}

/** Dapr sends these as bare errors with code Unknown. */
const refused = (error: string): RuntimeError => runtimeError('unknown', { error });

async function* serve(
  requests: AsyncIterator<SubscribeTopicEventsRequestAlpha1>,
  deps: ServiceDeps,
): AsyncGenerator<Outgoing> {
  const request = initialRequest(await requests.next());
  const flights = createFlights();
  const outgoing = createChannel<Outgoing>();
  const subscription = await deps.blocks.subscriptions.subscribeStream(request, (event, signal) =>
    deliver(event, signal, outgoing, flights, deps),
  );
  const drain = (): void => flights.whenEmpty(() => outgoing.close(refused('stream closed')));
  deps.draining.addEventListener('abort', drain, { once: true });
  try {
    yield { subscribeTopicEventsResponseType: { case: 'initialResponse', value: {} } };
    void receive(requests, flights).then(
      () => outgoing.close(refused('EOF')),
      (error: Error) => outgoing.close(error),
    );
    if (deps.draining.aborted) drain();
    yield* outgoing;
  } finally {
    deps.draining.removeEventListener('abort', drain);
    // With an error, so that events which nobody began to read are given back too.
    outgoing.close(new SubscriptionClosingError());
    flights.fail(new SubscriptionClosingError());
    await subscription.close();
  }
}

function initialRequest(first: IteratorResult<SubscribeTopicEventsRequestAlpha1>): {
  pubsubName: string;
  topic: string;
  metadata: Record<string, string>;
  deadLetterTopic: string;
} {
  if (first.done === true) throw refused('EOF');
  const type = first.value.subscribeTopicEventsRequestType;
  if (type.case !== 'initialRequest') throw refused('initial request is required');
  const { pubsubName, topic, metadata, deadLetterTopic } = type.value;
  if (pubsubName === '') throw refused('pubsubName is required');
  if (topic === '') throw refused('topic is required');
  return { pubsubName, topic, metadata, deadLetterTopic: deadLetterTopic ?? '' };
}

/** Reads answers until the client stops sending. */
async function receive(
  requests: AsyncIterator<SubscribeTopicEventsRequestAlpha1>,
  flights: Flights,
): Promise<void> {
  for (let next = await requests.next(); next.done !== true; next = await requests.next()) {
    const type = next.value.subscribeTopicEventsRequestType;
    if (type.case !== 'eventProcessed') throw refused('duplicate initial request received');
    flights.answer(type.value.id, resultOf(type.value.status?.status ?? EventStatus.SUCCESS));
  }
}

function resultOf(status: EventStatus): DeliveryResult {
  switch (status) {
    case EventStatus.SUCCESS:
      return { kind: 'success' };
    case EventStatus.DROP:
      return { kind: 'drop' };
    case EventStatus.RETRY:
      return {
        kind: 'retry',
        error: new Error('RETRY status returned from app while processing pub/sub event'),
      };
    default:
      return {
        kind: 'retry',
        error: new Error(`unknown status returned from app while processing pub/sub event: ${status}`),
      };
  }
}

async function deliver(
  event: StreamedEvent,
  signal: AbortSignal,
  outgoing: Channel<Outgoing>,
  flights: Flights,
  deps: ServiceDeps,
): Promise<DeliveryResult> {
  const fields = deps.topicEventFields(event.envelope);
  const answered = flights.expect(fields.id ?? '', signal);
  const sent = await outgoing.push({
    subscribeTopicEventsResponseType: {
      case: 'eventMessage',
      value: { ...fields, topic: event.topic, pubsubName: event.pubsubName, path: '/' },
    },
  });
  if (!sent) flights.fail(new SubscriptionClosingError());
  return answered;
}

/** Events that wait for their answer. */
interface Flights {
  /** The answer for event `id`; a retry when `signal` aborts first. */
  expect(id: string, signal: AbortSignal): Promise<DeliveryResult>;
  /** Unknown ids are ignored. */
  answer(id: string, result: DeliveryResult): void;
  fail(error: Error): void;
  /** Calls `then` now or when the last answer has come. */
  whenEmpty(then: () => void): void;
}

function createFlights(): Flights {
  // The same event may be in flight more than once: each answer settles the oldest.
  const flights = new Map<string, Answered[]>();
  let onEmpty: (() => void) | undefined;

  const remove = (id: string, flight: Answered): void => {
    const left = (flights.get(id) ?? []).filter((other) => other !== flight);
    if (left.length > 0) flights.set(id, left);
    else flights.delete(id);
    if (flights.size === 0) onEmpty?.();
  };
  return {
    expect: (id, signal) =>
      new Promise((resolve) => {
        const aborted = (): void => flight({ kind: 'retry', error: new Error('context canceled') });
        const flight = (result: DeliveryResult): void => {
          signal.removeEventListener('abort', aborted);
          resolve(result);
          remove(id, flight);
        };
        flights.set(id, [...(flights.get(id) ?? []), flight]);
        if (signal.aborted) aborted();
        else signal.addEventListener('abort', aborted, { once: true });
      }),
    answer: (id, result) => flights.get(id)?.[0]?.(result),
    fail: (error) => {
      for (const flight of [...flights.values()].flat()) flight({ kind: 'retry', error });
    },
    whenEmpty: (then) => {
      onEmpty = then;
      if (flights.size === 0) then();
    },
  };
}

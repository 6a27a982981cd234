/** Opens subscriptions at components and connects them with the delivery pipeline. */

import type { Clock } from '../../contracts/clock.ts';
import type { LoadedComponent } from '../../contracts/component-source.ts';
import type { Logger } from '../../contracts/logger.ts';
import type { ComponentSubscription, MessageHandler } from '../../contracts/pubsub.ts';
import type { ProgrammaticSubscription } from '../../contracts/resource.ts';
import {
  type BatchCollector,
  createBatchCollector,
  DEFAULT_MAX_AWAIT_MS,
  DEFAULT_MAX_MESSAGES,
} from './batch-collector.ts';
import { createBulkDelivery, type ReceiveBulk } from './bulk-delivery.ts';
import { type KeptSubscription, keepSubscription } from './component-subscription.ts';
import { createDelivery, type Receive } from './delivery.ts';
import type { DeliveryDeps, DeliverySubscription } from './event-intake.ts';
import { createInFlight, type InFlight } from './in-flight.ts';
import { isRawPayload } from './raw-payload.ts';
import { compileRules } from './routing-rules.ts';
import type { TopicScopesOf } from './topic-scopes.ts';

export interface Receivers {
  readonly receive: Receive;
  /** Absent: batches are not wanted. */
  readonly receiveBulk?: ReceiveBulk;
}

export interface SubscriptionOpener {
  /** Compiles the subscription (throws what is wrong with it) and starts opening it once `after` has settled. */
  open(
    component: LoadedComponent<'pubsub'>,
    spec: ProgrammaticSubscription,
    receivers: Receivers,
    after: Promise<void> | undefined,
  ): KeptSubscription;
  /** Opens a subscription whose messages go to `handler` as they are. */
  openInternal(
    component: LoadedComponent<'pubsub'>,
    topic: string,
    handler: MessageHandler,
    after: Promise<void> | undefined,
  ): KeptSubscription;
}

export function createSubscriptionOpener(
  deps: DeliveryDeps & { readonly scopesOf: TopicScopesOf },
): SubscriptionOpener {
  const { clock, log } = deps;
  return {
    open: (component, spec, receivers, after) => {
      const scopes = deps.scopesOf(component);
      const { pubsubName, topic, deadLetterTopic, metadata } = spec;
      if (!scopes.maySubscribe(topic)) {
        throw new Error(`subscription to topic '${topic}' on pubsub '${pubsubName}' is not allowed`);
      }
      const subscription: DeliverySubscription = {
        pubsubName,
        topic,
        deadLetterTopic,
        raw: isRawPayload(metadata),
        rules: compileRules(spec.rules),
        appTopic: scopes.appTopic,
      };
      const inFlight = createInFlight(clock);
      const options = { topic: scopes.brokerTopic(topic), metadata };
      const { receiveBulk } = receivers;
      if (!spec.bulk.enabled || receiveBulk === undefined) {
        const handler = createDelivery(deps, subscription, receivers.receive, inFlight);
        return keep(clock, log, spec, after, () => component.instance.subscribe(options, handler), inFlight);
      }
      const handle = createBulkDelivery(deps, subscription, receiveBulk, inFlight);
      const maxMessages = spec.bulk.maxMessagesCount || DEFAULT_MAX_MESSAGES;
      const maxAwaitMs = spec.bulk.maxAwaitDurationMs || DEFAULT_MAX_AWAIT_MS;
      const { instance } = component;
      if (instance.bulkSubscribe !== undefined) {
        const native = { ...options, maxMessages, maxAwaitMs };
        return keep(
          clock,
          log,
          spec,
          after,
          () => instance.bulkSubscribe?.(native, handle) ?? Promise.reject(new Error('no bulk subscribe')),
          inFlight,
        );
      }
      const collector = createBatchCollector({ maxMessages, maxAwaitMs, clock, handle });
      return keep(
        clock,
        log,
        spec,
        after,
        () => instance.subscribe(options, collector.handler),
        inFlight,
        collector,
      );
    },
    openInternal: (component, topic, handler, after) => {
      const scopes = deps.scopesOf(component);
      const inFlight = createInFlight(clock);
      const handle: MessageHandler = (message, signal) =>
        inFlight.run(signal, (flight) =>
          flight.attempt(() => handler({ ...message, topic: scopes.appTopic(message.topic) }, flight.signal)),
        );
      const open = (): Promise<ComponentSubscription> =>
        component.instance.subscribe({ topic: scopes.brokerTopic(topic), metadata: {} }, handle);
      return keep(clock, log, { pubsubName: component.name, topic }, after, open, inFlight);
    },
  };
}

function keep(
  clock: Clock,
  log: Logger,
  spec: Pick<ProgrammaticSubscription, 'pubsubName' | 'topic'>,
  after: Promise<void> | undefined,
  open: () => Promise<ComponentSubscription>,
  inFlight: InFlight,
  collector?: BatchCollector,
): KeptSubscription {
  return keepSubscription({
    label: `topic '${spec.topic}' of pubsub '${spec.pubsubName}'`,
    clock,
    log,
    open: async () => {
      await after;
      return open();
    },
    drain: () => {
      collector?.flush();
      return inFlight.close();
    },
  });
}

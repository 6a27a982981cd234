/** Publish and subscribe over one MQTT connection per component. */

import type { ComponentDeps } from '../../../runtime/contracts/component.ts';
import { isTruthy } from '../../../runtime/contracts/metadata.ts';
import type {
  MessageHandler,
  PublishMessage,
  PubSub,
  SubscribeOptions,
} from '../../../runtime/contracts/pubsub.ts';
import { MqttConnection } from '../../drivers/mqtt/connection.ts';
import type { InboxMessage } from '../../drivers/mqtt/inbox.ts';
import type { Mqtt3PubSubMetadata } from './metadata.ts';
import { Subscriptions } from './subscriptions.ts';

const TIMEOUT_MS = 20_000;

/** Makes the component; connects in `init`. */
export function mqtt3PubSub(metadata: Readonly<Mqtt3PubSubMetadata>, deps: ComponentDeps): PubSub {
  const { url, cleanSession, caCert, clientCert, clientKey } = metadata;
  const qos = metadata.qos as 0 | 1 | 2;
  const subscriptions = new Subscriptions(deps.clock);
  const handle = (message: InboxMessage): Promise<void> | undefined => {
    const subscription = subscriptions.find(message.topic);
    if (subscription === undefined || (subscription.held && message.qos > 0)) return undefined;
    const { topic, payload, retain } = message;
    return subscription.run({ topic, data: payload, metadata: { retained: String(retain) } });
  };
  const connection = new MqttConnection({
    url,
    clientId: metadata.consumerID === '' ? deps.appId : metadata.consumerID,
    cleanSession,
    tls: { caCert, clientCert, clientKey },
    timeoutMs: TIMEOUT_MS,
    handle,
    deps,
  });
  let closed = false;

  return {
    features: ['SUBSCRIBE_WILDCARDS'],
    init: (signal) => connection.open(signal),
    ping: async () => connection.ping(),
    publish: async (message: PublishMessage, signal: AbortSignal) => {
      if (closed) throw new Error('component is closed');
      if (message.topic === '') throw new Error('topic name is empty');
      const retain = retainOf(message.metadata, metadata.retain);
      await connection.publish(message.topic, message.data, { qos, retain }, signal);
    },
    subscribe: async (options: SubscribeOptions, handler: MessageHandler) => {
      if (closed) throw new Error('component is closed');
      if (options.topic === '') throw new Error('topic name is empty');
      const earlier = subscriptions.of(options.topic);
      const subscription = subscriptions.add(options.topic, handler);
      // An earlier one (of a stream whose client is gone, noticed or not) may have messages that come before all of this one's.
      if (earlier.length > 0) void subscription.follow(earlier).then(() => connection.offerAgain());
      // At once: a message that arrives while the broker is asked must not overtake those that wait here.
      connection.offerAgain();
      try {
        await connection.subscribe(options.topic, qos);
      } catch (error) {
        subscriptions.remove(subscription);
        throw error;
      }
      deps.log.info(`MQTT is subscribed to topic ${options.topic}`, { qos });
      return {
        close: async () => {
          if (!subscriptions.remove(subscription)) return;
          await subscription.idle();
          // What it gave back while a later subscription stood already goes there.
          connection.offerAgain();
          if (subscriptions.has(options.topic) || closed) return;
          // Without this the broker goes on collecting for the session, which is what a durable subscriber wants.
          const atBroker = cleanSession || isTruthy(options.metadata['unsubscribeOnClose']);
          await connection.unsubscribe(options.topic, atBroker);
        },
      };
    },
    close: async () => {
      if (closed) return;
      closed = true;
      await Promise.all([
        connection.close(),
        ...subscriptions.all.map((subscription) => subscription.idle()),
      ]);
    },
  };
}

/** Retain flag of one message: its own metadata before the component's. */
function retainOf(metadata: Readonly<Record<string, string>>, fallback: boolean): boolean {
  const given = metadata['retain'];
  if (given === undefined || given === '') return fallback;
  if (TRUE.has(given)) return true;
  if (FALSE.has(given)) return false;
  throw new Error(`mqtt invalid retain ${given}: expected true or false`);
}

const TRUE = new Set(['1', 't', 'T', 'true', 'TRUE', 'True']);
const FALSE = new Set(['0', 'f', 'F', 'false', 'FALSE', 'False']);

/**
 * A message bus inside the process. A publish puts the message into the queue of each matching subscription and returns;
 * every subscription works its queue off by itself, one message (or one batch) after the other. Failed messages are
 * logged and gone: there is no broker behind this that could redeliver.
 */

import type { Clock } from '../../../runtime/contracts/clock.ts';
import type { ComponentDeps } from '../../../runtime/contracts/component.ts';
import { errorText } from '../../../runtime/contracts/error.ts';
import type {
  BulkMessageHandler,
  BulkSubscribeOptions,
  ComponentSubscription,
  IncomingMessage,
  MessageHandler,
  PublishMessage,
  PubSub,
  SubscribeOptions,
} from '../../../runtime/contracts/pubsub.ts';
import { SubscriptionQueue } from './subscription-queue.ts';

interface Subscriber {
  readonly topic: string;
  /** Set for a topic that ends in `*`. */
  readonly prefix: string | undefined;
  readonly queue: SubscriptionQueue;
}

/** How long handlers may take to finish when the component closes. */
const GRACE_MS = 5000;

/** Makes the bus of one sidecar. */
export function inMemoryPubSub(deps: Pick<ComponentDeps, 'clock' | 'log'>): PubSub {
  const { clock, log } = deps;
  const subscribers = new Set<Subscriber>();
  const stop = new AbortController();
  let closed = false;

  const failed = (message: IncomingMessage, error: unknown): void => {
    log.error(`error handling message of topic '${message.topic}': ${errorText(error)}`);
  };

  const add = (
    options: SubscribeOptions,
    work: (queue: SubscriptionQueue) => Promise<void>,
  ): ComponentSubscription => {
    if (closed) throw new Error('component is closed');
    const { topic } = options;
    const queue = new SubscriptionQueue(work);
    const subscriber: Subscriber = {
      topic,
      prefix: topic.endsWith('*') ? topic.slice(0, -1) : undefined,
      queue,
    };
    subscribers.add(subscriber);
    return {
      close: async () => {
        subscribers.delete(subscriber);
        await queue.close();
      },
    };
  };

  return {
    features: ['SUBSCRIBE_WILDCARDS'],
    init: async () => {},
    publish: async (message: PublishMessage) => {
      if (closed) throw new Error('component is closed');
      const { topic, data, metadata } = message;
      const queues: SubscriptionQueue[] = [];
      for (const subscriber of subscribers) {
        const { prefix } = subscriber;
        if (prefix === undefined ? subscriber.topic === topic : topic.startsWith(prefix))
          queues.push(subscriber.queue);
      }
      // All or nobody: a refused publish is repeated by its publisher, and must not reach anybody twice.
      for (const queue of queues) queue.checkRoom(data.byteLength, topic);
      const incoming: IncomingMessage = { topic, data, metadata };
      for (const queue of queues) queue.push(incoming);
    },
    subscribe: async (options, handler: MessageHandler) =>
      add(options, async (queue) => {
        const message = queue.take(1)[0];
        if (message === undefined) return;
        try {
          await handler(message, stop.signal);
        } catch (error) {
          failed(message, error);
        }
      }),
    bulkSubscribe: async (options: BulkSubscribeOptions, handler: BulkMessageHandler) =>
      add(options, async (queue) => {
        await batchReady(queue, options, clock);
        const messages = queue.take(options.maxMessages);
        if (messages.length === 0) return;
        const results = await handler(messages, stop.signal).catch((error: unknown) =>
          messages.map(() => error),
        );
        messages.forEach((message, index) => {
          if (results[index] !== undefined) failed(message, results[index]);
        });
      }),
    close: async () => {
      if (closed) return;
      closed = true;
      const open = [...subscribers];
      subscribers.clear();
      const patience = clock.startTimer(GRACE_MS, () => stop.abort(new Error('component is closed')));
      await Promise.all(open.map((subscriber) => subscriber.queue.close()));
      patience.cancel();
    },
  };
}

/** Waits until the batch is full or `maxAwaitMs` has passed since its first message. */
async function batchReady(
  queue: SubscriptionQueue,
  options: BulkSubscribeOptions,
  clock: Clock,
): Promise<void> {
  if (queue.length >= options.maxMessages || options.maxAwaitMs <= 0) return;
  await new Promise<void>((resolve) => {
    const timer = clock.startTimer(options.maxAwaitMs, resolve);
    queue.whenReached(options.maxMessages, () => {
      timer.cancel();
      resolve();
    });
  });
}

/**
 * A pub/sub component in another process (dapr.proto.components.v1.PubSub). Every subscription is one `PullMessages`
 * stream, on which each message is acknowledged or refused.
 */

import { createBatchCollector } from '../building-blocks/pubsub/batch-collector.ts';
import { errorText } from '../contracts/error.ts';
import { GrpcCode } from '../contracts/grpc-code.ts';
import { GrpcStatusError } from '../contracts/grpc-wire/status.ts';
import {
  type IncomingMessage,
  type MessageHandler,
  type PubSub,
  type SubscribeOptions,
  SubscriptionClosingError,
} from '../contracts/pubsub.ts';
import { PubSub as Service } from '../generated/dapr/proto/components/v1/pubsub_pb.ts';
import { type ConnectionOptions, createConnection } from './connection.ts';
import { remoteError } from './errors.ts';
import { type MessageStream, openMessageStream } from './message-stream.ts';

const { init, features, publish, bulkPublish, pullMessages, pause, ping } = Service.method;
const PAUSE_LIMIT_MS = 5000;
/** Deliver at once: the component waits for the answer to a message before it hands over the next. */
const IMMEDIATE = 'BULK_SUBSCRIBE_IMMEDIATE';
const BULK_PUBLISH = 'BULK_PUBSUB';

/** `properties`: metadata items of the component as they are written, with the default of `consumerID`. */
export function pluggablePubSub(
  options: ConnectionOptions,
  properties: Readonly<Record<string, string>>,
): PubSub {
  const { clock, log, componentName } = options;
  let known: readonly string[] = [];
  const streams = new Set<MessageStream>();
  const connection = createConnection(options, async (caller, signal) => {
    await caller.call(init, { metadata: { properties } }, signal);
    known = (await caller.call(features, {}, signal)).features;
    if (known.includes(BULK_PUBLISH)) instance.bulkPublish = bulk;
    else delete instance.bulkPublish;
  });

  const bulk: NonNullable<PubSub['bulkPublish']> = async (topic, entries, metadata, signal) => {
    const request = {
      topic,
      pubsubName: componentName,
      metadata,
      entries: entries.map((entry) => ({
        entryId: entry.entryId,
        event: entry.data,
        contentType: entry.contentType,
        metadata: entry.metadata,
      })),
    };
    const { failedEntries } = await connection.call(bulkPublish, request, signal).catch(rethrow);
    return failedEntries.map(({ entryId, error }) => ({ entryId, error: new Error(error) }));
  };

  const pull = async (
    { topic, metadata }: SubscribeOptions,
    handler: MessageHandler,
    concurrency: number,
    closing: () => void,
  ) => {
    const stream = await openMessageStream({
      connection,
      method: pullMessages,
      first: { topic: { name: topic, metadata } },
      concurrency,
      label: `topic '${topic}' of pubsub '${componentName}'`,
      clock,
      log,
      handle: async ({ data, topicName, metadata: own, contentType, id }, signal) => {
        const message: IncomingMessage = {
          topic: topicName,
          data,
          metadata: own,
          ...(contentType === '' ? {} : { contentType }),
        };
        try {
          await handler(message, signal);
          return { ackMessageId: id };
        } catch (error) {
          // Refused messages may end in a dead letter queue; one that was only not taken must not.
          if (error instanceof SubscriptionClosingError || signal.aborted) return undefined;
          log.error(`error when handling message on topic ${topicName}: ${errorText(error)}`);
          return { ackMessageId: id, ackError: { message: errorText(error) } };
        }
      },
    }).catch((error) => {
      throw new Error(`unable to subscribe: ${remoteError(error).message}`, { cause: error });
    });
    streams.add(stream);
    return {
      close: async () => {
        closing();
        await stream.close();
        streams.delete(stream);
      },
    };
  };

  const instance: PubSub = {
    get features() {
      return known;
    },
    init: (signal) => connection.init(signal).catch(rethrow),
    ping: async (signal) => void (await connection.call(ping, {}, signal).catch(rethrow)),
    publish: async ({ topic, data, contentType = '', metadata }, signal) => {
      const request = { topic, pubsubName: componentName, data, contentType, metadata };
      await connection.call(publish, request, signal).catch(rethrow);
    },
    subscribe: (given, handler) => pull(given, handler, 1, () => {}),
    bulkSubscribe: ({ maxMessages, maxAwaitMs, ...given }, handler) => {
      if (known.includes(IMMEDIATE)) {
        const one: MessageHandler = async (message, signal) => {
          const [error] = await handler([message], signal);
          if (error !== undefined) throw error;
        };
        return pull(given, one, 1, () => {});
      }
      const collector = createBatchCollector({ maxMessages, maxAwaitMs, clock, handle: handler });
      return pull(given, collector.handler, maxMessages, () => collector.flush());
    },
    pause: async () => {
      if (streams.size === 0) return;
      try {
        await connection.call(pause, {}, AbortSignal.timeout(PAUSE_LIMIT_MS));
      } catch (error) {
        const unable = error instanceof GrpcStatusError && error.code === GrpcCode.Unimplemented;
        if (!unable) log.warn(`failed to pause pubsub ${componentName}: ${remoteError(error).message}`);
        return;
      }
      await Promise.all([...streams].map((stream) => stream.drained()));
    },
    close: async () => {
      await Promise.all([...streams].map((stream) => stream.close()));
      await connection.close();
    },
  };
  return instance;
}

function rethrow(error: unknown): never {
  throw remoteError(error);
}

/**
 * Topics of another sidecar. Up: a message is confirmed once it is in the durable queue, and reaches the far topic in
 * order per key; the CloudEvent's id was given here, so a repeat after a lost answer carries the same id. Down: Dapr's
 * streaming subscription, acknowledged over there only after the subscriber here has taken the event.
 */

import type { ComponentDeps } from '../../../runtime/contracts/component.ts';
import { isTruthy } from '../../../runtime/contracts/metadata.ts';
import type { MessageHandler, PublishMessage, PubSub } from '../../../runtime/contracts/pubsub.ts';
import type { SpoolMessage, StoredMessage } from '../../../runtime/contracts/spool.ts';
import type { ConnectionItems } from '../../drivers/dapr-api/connection-items.ts';
import { createFarSidecar, type FarCall, metadataQuery } from '../../drivers/dapr-api/far-sidecar.ts';
import { type BulkRoute, createForwarder } from '../../drivers/dapr-api/forwarder.ts';
import type { QueueItems } from '../../drivers/dapr-api/queue-items.ts';
import {
  orderKey,
  priorityOf,
  queuedHeaders,
  queuedMetadata,
  withoutItems,
} from '../../drivers/dapr-api/queued-message.ts';
import type { TopicStream } from '../../drivers/dapr-stream/topic-stream.ts';
import { cloudEventOf } from './cloud-event.ts';

export interface RemotePubSubItems extends ConnectionItems, QueueItems {
  /** Needed for subscriptions only. */
  readonly grpcAddress: string;
  /** A link that died silently is noticed by the subscriptions within this time, milliseconds. */
  readonly silenceLimit: number;
  /** Publish metadata item whose value is the order key; empty: `partitionKey`. */
  readonly keyFrom: string;
}

/** Batches under way together: over a link of 100 ms one after another would carry a tenth of what it can. */
const MAX_BATCHES = 12;
const MAX_BATCH = 250;
const OCTETS = 'application/octet-stream';
/** Publish metadata that is for this side only. */
const OWN_METADATA = new Set(['priority']);

export function createRemotePubSub(items: RemotePubSubItems, deps: ComponentDeps): PubSub {
  const far = createFarSidecar(items, deps);
  const request = (message: StoredMessage): Omit<FarCall, 'signal'> => {
    const { topic = '', contentType = OCTETS, ...rest } = message.headers;
    return {
      method: 'POST',
      path: ['v1.0', 'publish', far.remoteName, ...topic.split('/')],
      query: metadataQuery(withoutItems(queuedMetadata(rest), OWN_METADATA)),
      headers: { 'content-type': contentType, 'skerry-message-id': message.id },
      body: message.payload,
    };
  };
  const bulk: BulkRoute = {
    // What is raw is said for a whole request, so it goes alone.
    target: ({ headers: { topic = '', 'm.rawPayload': raw } }) =>
      isTruthy(raw) ? undefined : [far.remoteName, ...topic.split('/')].map(encodeURIComponent).join('/'),
    metadata: ({ headers }) => withoutItems(queuedMetadata(headers), OWN_METADATA),
    maxMessages: MAX_BATCH,
    maxBatches: MAX_BATCHES,
  };
  const open = new Map<TopicStream, string>();
  const forwarder = createForwarder(far, items, deps, request, bulk, ({ askedAt }) => {
    for (const stream of open.keys()) stream.linkBack(askedAt);
  });

  // What waits for its next attempt makes it now.
  far.onUp(() => {
    for (const stream of open.keys()) stream.linkBack(Number.NEGATIVE_INFINITY);
  });

  return {
    features: [],
    init: async () => {
      await far.open();
      if (far.relayed !== undefined && items.grpcAddress !== '') {
        throw new Error(
          "metadata item 'grpcAddress': expected none where baseUrl is relay:, since subscriptions go over the link too",
        );
      }
      await forwarder.open();
    },
    close: async () => {
      await Promise.all([...open.keys()].map((stream) => stream.close()));
      await forwarder.close();
      far.close();
    },
    publish: async (message) => {
      await forwarder.append(toStored(message, items.keyFrom));
    },
    subscribe: async ({ topic, metadata }, handler) => {
      if (far.relayed === undefined && items.grpcAddress === '') {
        throw new Error(
          "metadata item 'grpcAddress': the gRPC address of the far sidecar (host:50001) is required to subscribe",
        );
      }
      const stream = await subscribe(topic, metadata, handler);
      open.set(stream, topic);
      return {
        close: async () => {
          open.delete(stream);
          await stream.close();
        },
      };
    },
    link: (topic) => {
      const links = [...open].flatMap(([stream, known]) => (known === topic ? [stream.link()] : []));
      return links.find(({ up }) => !up) ?? links[0];
    },
  };

  async function subscribe(
    topic: string,
    metadata: Readonly<Record<string, string>>,
    handler: MessageHandler,
  ): Promise<TopicStream> {
    // Loaded here: an edge that only publishes needs no gRPC client.
    const { openTopicStream } = await import('../../drivers/dapr-stream/topic-stream.ts');
    return openTopicStream(
      {
        relayed: far.relayed,
        grpcAddress: items.grpcAddress,
        credentials: far.credentials,
        pubsubName: far.remoteName,
        topic,
        metadata,
        silenceLimitMs: items.silenceLimit,
        handle: (event, signal) => handler(cloudEventOf(event), signal),
      },
      deps,
    );
  }
}

/** The topic travels among the headers of the queue's message. */
function toStored(message: PublishMessage, keyFrom: string): SpoolMessage {
  const { topic, metadata, contentType = OCTETS } = message;
  return {
    key: `${topic}\n${orderKey(metadata, keyFrom)}`,
    priority: priorityOf(metadata),
    payload: message.data,
    headers: queuedHeaders({ topic, contentType }, metadata),
  };
}

/** Publishing over gRPC (gRPC reference, section 2.3). */

import { runtimeError } from '../../contracts/error.ts';
import {
  BulkPublishRequestSchema,
  BulkPublishResponseSchema,
  PublishEventRequestSchema,
} from '../../generated/dapr/proto/runtime/v1/pubsub_pb.ts';
import { command, type Operations, type ServiceDeps, unary } from './method.ts';

/** The publish operations. */
export function publishOperations({
  blocks: { publish },
}: ServiceDeps): Operations<'publish' | 'publishBulk'> {
  return {
    publish: command(PublishEventRequestSchema, (request, call) =>
      publish.publish(
        {
          pubsubName: request.pubsubName,
          topic: request.topic,
          data: request.data,
          contentType: request.dataContentType,
          metadata: request.metadata,
        },
        call,
      ),
    ),
    publishBulk: unary(BulkPublishRequestSchema, BulkPublishResponseSchema, async (request, call) => {
      const { pubsubName, topic, metadata } = request;
      publish.check(pubsubName, topic, metadata);
      const entries = request.entries.map((entry) => ({
        entryId: entry.entryId,
        event: entry.event,
        contentType: entry.contentType,
        ...(Object.keys(entry.metadata).length === 0 ? {} : { metadata: entry.metadata }),
      }));
      const result = await publish.bulkPublish(pubsubName, topic, entries, metadata, call);
      if (result.error !== undefined)
        throw runtimeError('pubsubPublish', { pubsub: pubsubName, topic, error: result.error });
      return { failedEntries: result.failedEntries.map(({ entryId, error }) => ({ entryId, error })) };
    }),
  };
}

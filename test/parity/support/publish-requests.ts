/** Publish requests in neutral words, ready for HTTP and for gRPC. */

import {
  BulkPublishRequestSchema,
  BulkPublishResponseSchema,
  PublishEventRequestSchema,
} from '../../../runtime/generated/dapr/proto/runtime/v1/pubsub_pb.ts';
import { httpOutcome, type ParityRequest, withValue } from './cases.ts';
import { grpcCommand, grpcOutcome } from './grpc-call.ts';
import { metadataQuery } from './http-client.ts';
import type { ParityRig } from './rig.ts';

type StringMap = Readonly<Record<string, string>>;

export interface Publish {
  readonly pubsub?: string;
  readonly topic?: string;
  readonly data?: string;
  readonly contentType?: string;
  readonly metadata?: StringMap;
  /** Header of HTTP, metadata of gRPC. */
  readonly traceparent?: string;
}

export interface Entry {
  readonly entryId: string;
  readonly data: string;
  readonly contentType: string;
  readonly metadata?: Record<string, string>;
}

export interface PublishRequests {
  publish(request: Publish): ParityRequest;
  bulk(entries: readonly Entry[], request?: Omit<Publish, 'data' | 'contentType'>): ParityRequest;
}

/** `carried(n)` gives the next `n` messages that the brokers carried: they are the value of a publish. */
export function publishRequests(
  { http, grpc }: ParityRig,
  carried: (count: number) => Promise<unknown>,
): PublishRequests {
  return {
    publish: ({
      pubsub = 'pubsub',
      topic = 'orders',
      data = '',
      contentType = '',
      metadata,
      traceparent,
    }) => ({
      http: () =>
        httpOutcome(
          http.send({
            method: 'POST',
            path: `/v1.0/publish/${pubsub}/${topic}${metadataQuery(metadata)}`,
            headers: {
              ...(contentType === '' ? {} : { 'content-type': contentType }),
              ...traceOf(traceparent),
            },
            body: data,
          }),
          () => carried(1),
        ),
      grpc: () =>
        grpcCommand(
          grpc,
          'PublishEvent',
          PublishEventRequestSchema,
          {
            pubsubName: pubsub,
            topic,
            data: Buffer.from(data),
            dataContentType: contentType,
            metadata: { ...metadata },
          },
          () => carried(1),
          traceOf(traceparent),
        ),
    }),
    bulk: (entries, { pubsub = 'pubsub', topic = 'orders', metadata, traceparent } = {}) => ({
      http: async () => {
        const sent = http.send({
          method: 'POST',
          path: `/v1.0/publish/bulk/${pubsub}/${topic}${metadataQuery(metadata)}`,
          headers: traceOf(traceparent),
          body: `[${entries.map(entryJson).join(',')}]`,
        });
        const outcome = await httpOutcome(sent, () => carried(entries.length));
        const { failedEntries } = JSON.parse((await sent).text || '{}');
        return withValue(outcome, outcome.value ?? failedEntries);
      },
      grpc: () =>
        grpcOutcome(
          grpc,
          'BulkPublishEvent',
          [BulkPublishRequestSchema, BulkPublishResponseSchema],
          {
            pubsubName: pubsub,
            topic,
            metadata: { ...metadata },
            entries: entries.map(({ entryId, data, contentType, metadata = {} }) => ({
              entryId,
              event: Buffer.from(data),
              contentType,
              metadata,
            })),
          },
          ({ failedEntries }) =>
            failedEntries.length === 0
              ? carried(entries.length)
              : failedEntries.map(({ entryId, error }) => ({ entryId, error })),
          traceOf(traceparent),
        ),
    }),
  };
}

const traceOf = (traceparent: string | undefined): Record<string, string> =>
  traceparent === undefined ? {} : { traceparent };

/** HTTP reference, section 7.7: `event` by content type. */
function entryJson({ data, contentType, ...entry }: Entry): string {
  const event = contentType.endsWith('json')
    ? data
    : JSON.stringify(contentType.endsWith('octet-stream') ? Buffer.from(data).toString('base64') : data);
  return `${JSON.stringify({ ...entry, contentType }).slice(0, -1)},"event":${event}}`;
}

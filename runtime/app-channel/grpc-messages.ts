/** Messages of `AppCallback`: built from what the runtime sends, read into what it understands. */

import { create } from '@bufbuild/protobuf';
import { decodeMethod, plainMethod } from '../building-blocks/invoke/method-path.ts';
import type {
  BindingReply,
  BulkDeliveryEntry,
  BulkTopicDelivery,
  DeliveryResult,
  HeaderList,
  InvokeRequest,
  InvokeResponse,
} from '../contracts/app-channel.ts';
import { bytesBody, EMPTY_BODY, readBody } from '../contracts/body.ts';
import { DEFAULT_BULK_EVENT_TYPE } from '../contracts/cloud-event.ts';
import { GrpcCode } from '../contracts/grpc-code.ts';
import type { ProgrammaticSubscription } from '../contracts/resource.ts';
import {
  type InvokeResponse as AnswerMessage,
  HTTPExtension_Verb,
} from '../generated/dapr/proto/common/v1/common_pb.ts';
import {
  type BindingEventResponse,
  BindingEventResponse_BindingEventConcurrency,
  TopicEventResponse_TopicEventResponseStatus as Status,
  TopicEventBulkRequestSchema,
  type TopicSubscription,
} from '../generated/dapr/proto/runtime/v1/appcallback_pb.ts';
import { DROP, retry } from './event-reply.ts';
import { eventFields } from './grpc-event.ts';

/** An invocation as `OnInvoke` takes it. */
export async function invokeMessage(request: InvokeRequest) {
  return {
    method:
      request.plainMethod === undefined ? decodeMethod(request.method) : plainMethod(request.plainMethod),
    contentType: request.contentType ?? '',
    data: { typeUrl: request.dataTypeUrl ?? '', value: await readBody(request.body) },
    ...(request.verb === ''
      ? {}
      : { httpExtension: { verb: verbNumber(request.verb), querystring: request.query } }),
  };
}

/** Number of a verb in `HTTPExtension`; one it does not know is POST, as in Dapr. */
export function verbNumber(verb: string): HTTPExtension_Verb {
  const known = (HTTPExtension_Verb as Readonly<Record<string, unknown>>)[verb];
  return typeof known === 'number' ? (known as HTTPExtension_Verb) : HTTPExtension_Verb.POST;
}

/** The app's answer to `OnInvoke`. */
export function invokeAnswer(
  { data, contentType }: AnswerMessage,
  meta: { readonly headers: HeaderList; readonly trailers: HeaderList },
): InvokeResponse {
  const typeUrl = data?.typeUrl ?? '';
  return {
    status: GrpcCode.OK,
    grpc: true,
    headers: meta.headers,
    trailers: meta.trailers,
    body: data === undefined ? EMPTY_BODY : bytesBody(data.value),
    ...(contentType === '' ? {} : { contentType }),
    ...(typeUrl === '' ? {} : { dataTypeUrl: typeUrl }),
  };
}

/** A subscription of the app. */
export function subscription(item: TopicSubscription): ProgrammaticSubscription {
  const rules = (item.routes?.rules ?? []).map(({ match, path }) => ({ match: match.trim(), path }));
  const fallback = item.routes?.default ?? '';
  // The route is the app's to interpret, so that none at all is a valid one (it arrives as path "").
  if (fallback !== '' || rules.length === 0) rules.push({ match: '', path: fallback });
  return {
    pubsubName: item.pubsubName,
    topic: item.topic,
    metadata: item.metadata,
    rules,
    deadLetterTopic: item.deadLetterTopic,
    bulk: {
      enabled: item.bulkSubscribe?.enabled ?? false,
      maxMessagesCount: item.bulkSubscribe?.maxMessagesCount ?? 0,
      maxAwaitDurationMs: item.bulkSubscribe?.maxAwaitDurationMs ?? 0,
    },
  };
}

/** The app's answer to a binding event. */
export function bindingAnswer(answer: BindingEventResponse): BindingReply {
  return {
    ...(answer.data.byteLength === 0 ? {} : { data: answer.data }),
    ...(answer.storeName === '' ? {} : { storeName: answer.storeName }),
    ...(answer.states.length === 0
      ? {}
      : { states: answer.states.map(({ key, value }) => ({ key, value })) }),
    ...(answer.to.length === 0 ? {} : { to: answer.to }),
    concurrency:
      answer.concurrency === BindingEventResponse_BindingEventConcurrency.PARALLEL
        ? 'parallel'
        : 'sequential',
  };
}

/** What a status word of the app means for an event. */
export function verdict(status: number, event: string): DeliveryResult {
  switch (status) {
    case Status.SUCCESS:
      return { kind: 'success' };
    case Status.DROP:
      return DROP;
    case Status.RETRY:
      return retry(`RETRY status returned from app while processing pub/sub event ${event}`);
    default:
      return retry(
        `unknown status returned from app while processing pub/sub event ${event}, status: ${status}`,
      );
  }
}

/** A batch as `OnBulkTopicEvent` takes it. */
export function bulkMessage(delivery: BulkTopicDelivery) {
  return create(TopicEventBulkRequestSchema, {
    id: delivery.id,
    metadata: { ...delivery.metadata },
    topic: delivery.topic,
    pubsubName: delivery.pubsubName,
    type: DEFAULT_BULK_EVENT_TYPE,
    path: delivery.path,
    entries: delivery.entries.map(bulkEntry),
  });
}

function bulkEntry(entry: BulkDeliveryEntry) {
  return {
    entryId: entry.entryId,
    metadata: { ...entry.metadata },
    contentType: entry.contentType,
    event:
      entry.event instanceof Uint8Array
        ? ({ case: 'bytes', value: entry.event } as const)
        : ({ case: 'cloudEvent', value: eventFields(entry.event) } as const),
  };
}

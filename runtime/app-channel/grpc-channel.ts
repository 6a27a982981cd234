/**
 * The app channel over gRPC (gRPC reference, section 3): `AppCallback` of the app, `AppCallbackAlpha` where the app is
 * older, `AppCallbackHealthCheck` for probes.
 */

import { create, type DescMessage, type MessageShape } from '@bufbuild/protobuf';
import { EmptySchema } from '@bufbuild/protobuf/wkt';
import type { AppChannel, BulkTopicDelivery, DeliveryResult, HeaderList } from '../contracts/app-channel.ts';
import { EMPTY_BODY } from '../contracts/body.ts';
import type { Clock } from '../contracts/clock.ts';
import { GrpcCode } from '../contracts/grpc-code.ts';
import type { Codec } from '../contracts/grpc-wire/service.ts';
import { GrpcStatusError } from '../contracts/grpc-wire/status.ts';
import type { Logger } from '../contracts/logger.ts';
import type { Metrics } from '../contracts/metrics.ts';
import { InvokeRequestSchema, InvokeResponseSchema } from '../generated/dapr/proto/common/v1/common_pb.ts';
import {
  BindingEventRequestSchema,
  BindingEventResponseSchema,
  HealthCheckResponseSchema,
  ListInputBindingsResponseSchema,
  ListTopicSubscriptionsResponseSchema,
  TopicEventBulkRequestSchema,
  type TopicEventBulkResponse,
  TopicEventBulkResponseSchema,
  TopicEventRequestSchema,
  TopicEventResponseSchema,
} from '../generated/dapr/proto/runtime/v1/appcallback_pb.ts';
import { createGrpcClient, type GrpcClient } from '../grpc-client/client.ts';
import { codec } from '../grpc-client/codec.ts';
import { statusDetails } from '../grpc-client/status-details.ts';
import { AppStatusError } from './app-status-error.ts';
import { createConcurrencyLimit } from './concurrency-limit.ts';
import { DROP_FOR_GOOD, retry } from './event-reply.ts';
import { createGrpcClientMetrics } from './grpc-client-metrics.ts';
import { eventFields } from './grpc-event.ts';
import {
  bindingAnswer,
  bulkMessage,
  invokeAnswer,
  invokeMessage,
  subscription,
  verdict,
} from './grpc-messages.ts';
import { eventMetadata, invokeMetadata } from './grpc-metadata.ts';

export interface GrpcChannelOptions {
  readonly protocol: 'grpc' | 'grpcs';
  readonly address: string;
  readonly port: number;
  /** 0: no limit. */
  readonly maxConcurrency: number;
  readonly token?: string;
  readonly maxMessageBytes: number;
  /** Where calls are counted; absent: nowhere. */
  readonly metrics?: Metrics;
  readonly clock: Clock;
  readonly log: Logger;
}

/** The channel, and the client that a proxied call to the app shares with it. */
export interface GrpcChannel extends AppChannel {
  readonly client: GrpcClient;
}

const CALLBACK = '/dapr.proto.runtime.v1.AppCallback/';
const ALPHA = '/dapr.proto.runtime.v1.AppCallbackAlpha/';
const HEALTH = '/dapr.proto.runtime.v1.AppCallbackHealthCheck/';
const empty = codec(EmptySchema);
const bulkRequest = codec(TopicEventBulkRequestSchema);
const bulkResponse = codec(TopicEventBulkResponseSchema);
const method = <I extends DescMessage, O extends DescMessage>(path: string, request: I, response: O) => ({
  path,
  request: codec(request),
  response: codec(response),
});
const ON_INVOKE = method(`${CALLBACK}OnInvoke`, InvokeRequestSchema, InvokeResponseSchema);
const ON_TOPIC_EVENT = method(`${CALLBACK}OnTopicEvent`, TopicEventRequestSchema, TopicEventResponseSchema);
const ON_BINDING_EVENT = method(
  `${CALLBACK}OnBindingEvent`,
  BindingEventRequestSchema,
  BindingEventResponseSchema,
);
const ON_BULK = { path: `${CALLBACK}OnBulkTopicEvent`, request: bulkRequest, response: bulkResponse };
const ON_BULK_ALPHA = {
  path: `${ALPHA}OnBulkTopicEventAlpha1`,
  request: bulkRequest,
  response: bulkResponse,
};

/** Makes the channel of one gRPC app; it connects with the first call. */
export function createGrpcChannel(options: GrpcChannelOptions): GrpcChannel {
  const host = options.address.includes(':') ? `[${options.address}]` : options.address;
  const client = createGrpcClient({
    target: `${host}:${options.port}`,
    clock: options.clock,
    limits: { maxMessageBytes: options.maxMessageBytes },
    ...(options.protocol === 'grpcs' ? { tls: { rejectUnauthorized: false } } : {}),
  });
  const limit = createConcurrencyLimit(options.maxConcurrency);
  const token = options.token === '' ? undefined : options.token;
  const { log, metrics } = options;
  const measure = metrics === undefined ? undefined : createGrpcClientMetrics(metrics, options.clock);
  let alphaBulk = false;

  const measured = async <I, O>(
    target: { path: string; request: Codec<I>; response: Codec<O> },
    message: I,
    metadata: HeaderList,
    signal: AbortSignal,
  ): Promise<{ message: O; headers: HeaderList; trailers: HeaderList }> => {
    const request = target.request.encode(message);
    const ended = measure?.(target.path, request.byteLength);
    try {
      const answer = await client.unary(target.path, request, { metadata, signal });
      ended?.(GrpcCode.OK, answer.message.byteLength);
      return { ...answer, message: target.response.decode(answer.message) };
    } catch (error) {
      ended?.(error instanceof GrpcStatusError ? error.code : GrpcCode.Unknown, 0);
      throw error;
    }
  };
  const call: typeof measured = async (target, message, metadata, signal) => {
    const release = limit === undefined ? undefined : await limit.acquire(signal);
    try {
      return await measured(target, message, metadata, signal);
    } finally {
      release?.();
    }
  };
  const own = token === undefined ? [] : ([['dapr-api-token', token]] as const);
  const list = <O extends DescMessage>(
    path: string,
    response: O,
    signal: AbortSignal,
  ): Promise<{ message: MessageShape<O> }> =>
    call({ path, request: empty, response: codec(response) }, create(EmptySchema), own, signal);

  const deliverBulk = async (
    delivery: BulkTopicDelivery,
    signal: AbortSignal,
  ): Promise<TopicEventBulkResponse> => {
    const message = bulkMessage(delivery);
    const metadata = eventMetadata(delivery.metadata, delivery.trace, token);
    const send = async (target: typeof ON_BULK): Promise<TopicEventBulkResponse> =>
      (await call(target, message, metadata, signal)).message;
    const [first, second] = alphaBulk ? [ON_BULK_ALPHA, ON_BULK] : [ON_BULK, ON_BULK_ALPHA];
    try {
      return await send(first);
    } catch (cause) {
      if (!isUnknownMethod(cause)) throw cause;
    }
    const answer = await send(second);
    // The app behind the port may be another version by now: what it knows is remembered until it does not.
    alphaBulk = !alphaBulk;
    log.info(`the app knows bulk events in their ${alphaBulk ? 'alpha' : 'stable'} form only`);
    return answer;
  };

  return {
    protocol: options.protocol,
    client,

    async invoke(request, context) {
      const message = create(InvokeRequestSchema, await invokeMessage(request));
      const metadata = invokeMetadata(
        request.headers,
        context.span.context,
        token,
        request.plainMethod !== undefined,
      );
      try {
        const answer = await call(ON_INVOKE, message, metadata, context.signal);
        return invokeAnswer(answer.message, answer);
      } catch (cause) {
        if (!(cause instanceof GrpcStatusError) || context.signal.aborted) throw cause;
        return {
          status: cause.code,
          grpc: true,
          message: cause.message,
          headers: cause.headers,
          trailers: cause.trailers,
          body: EMPTY_BODY,
          statusDetails: statusDetails(cause.details),
        };
      }
    },

    /** Actor hosting over gRPC is announced by a stream of the app's own, not by a question. */
    async configuration() {
      return undefined;
    },

    async subscriptions(signal) {
      try {
        const { message } = await list(
          `${CALLBACK}ListTopicSubscriptions`,
          ListTopicSubscriptionsResponseSchema,
          signal,
        );
        return message.subscriptions.map(subscription);
      } catch (cause) {
        if (isUnknownMethod(cause)) return [];
        throw cause;
      }
    },

    async wantsBinding(name, _route, signal) {
      try {
        const { message } = await list(
          `${CALLBACK}ListInputBindings`,
          ListInputBindingsResponseSchema,
          signal,
        );
        return message.bindings.includes(name);
      } catch (cause) {
        log.debug('the app lists no input bindings', { error: cause });
        return false;
      }
    },

    async deliverBinding(name, _route, event, trace, signal) {
      const message = create(BindingEventRequestSchema, {
        name,
        data: event.data,
        metadata: { ...event.metadata },
      });
      try {
        return bindingAnswer(
          (await call(ON_BINDING_EVENT, message, eventMetadata({}, trace, token), signal)).message,
        );
      } catch (cause) {
        if (signal.aborted || !(cause instanceof GrpcStatusError)) throw cause;
        throw new AppStatusError(`error invoking app: ${cause.message}`, { grpcCode: cause.code }, { cause });
      }
    },

    async deliverEvent(delivery, signal) {
      const id = String(delivery.envelope['id'] ?? '');
      const message = create(TopicEventRequestSchema, {
        ...eventFields(delivery.envelope),
        topic: delivery.topic,
        pubsubName: delivery.pubsubName,
        path: delivery.path,
      });
      try {
        const answer = await call(
          ON_TOPIC_EVENT,
          message,
          eventMetadata(delivery.metadata, delivery.trace, token),
          signal,
        );
        const result = verdict(answer.message.status, id);
        if (result.kind === 'drop')
          log.warn(`DROP status returned from app while processing pub/sub event ${id}`, {
            topic: delivery.topic,
          });
        return result;
      } catch (cause) {
        return failedDelivery(cause, id, signal, log);
      }
    },

    async deliverBulk(delivery, signal) {
      try {
        const answer = await deliverBulk(delivery, signal);
        const words = new Map(answer.statuses.map((entry) => [entry.entryId, entry.status]));
        return delivery.entries.map(({ entryId }) => {
          const status = words.get(entryId);
          return status === undefined
            ? retry(`app did not answer for bulk entry ${entryId}`)
            : verdict(status, entryId);
        });
      } catch (cause) {
        const result = failedDelivery(cause, delivery.id, signal, log);
        return delivery.entries.map(() => result);
      }
    },

    /** A gRPC app gets configuration changes on the stream it subscribed with. */
    async deliverConfiguration() {
      throw new Error('a gRPC app receives configuration updates on its own stream only');
    },

    async probe(_path, signal) {
      const method = {
        path: `${HEALTH}HealthCheck`,
        request: empty,
        response: codec(HealthCheckResponseSchema),
      };
      await measured(method, create(EmptySchema), [], signal);
      return true;
    },

    close: () => client.close(),
  };
}

/**
 * The app does not have the method. The JavaScript SDK's server resets the stream instead of answering Unimplemented,
 * which arrives as a stream without trailers.
 */
function isUnknownMethod(cause: unknown): boolean {
  if (!(cause instanceof GrpcStatusError)) return false;
  return (
    cause.code === GrpcCode.Unimplemented ||
    (cause.code === GrpcCode.Internal && cause.message.includes('without sending trailers'))
  );
}

function failedDelivery(cause: unknown, event: string, signal: AbortSignal, log: Logger): DeliveryResult {
  if (signal.aborted || !(cause instanceof GrpcStatusError)) throw cause;
  if (cause.code === GrpcCode.Unimplemented) {
    log.warn(
      `non-retriable error returned from app while processing pub/sub event ${event}: ${cause.message}`,
    );
    // An app without the method has no use for dead letters either, as Dapr sees it.
    return DROP_FOR_GOOD;
  }
  return retry(`error returned from app while processing pub/sub event ${event}: ${cause.message}`, {
    grpcCode: cause.code,
  });
}

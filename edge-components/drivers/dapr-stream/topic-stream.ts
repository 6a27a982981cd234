/**
 * Dapr's streaming subscription at a far sidecar (`SubscribeTopicEventsAlpha1`): one outbound connection brings events
 * down. An event is acknowledged over there only after its handler resolved here; a handler that rejects asks for the
 * event again. Events are handled one after another, so that their order is kept; a broken link is dialled again with
 * full jitter.
 */

import type { ConnectionOptions } from 'node:tls';
import { create } from '@bufbuild/protobuf';
import type { Timer } from '../../../runtime/contracts/clock.ts';
import type { ComponentDeps } from '../../../runtime/contracts/component.ts';
import { errorText } from '../../../runtime/contracts/error.ts';
import {
  TopicEventResponse_TopicEventResponseStatus as EventStatus,
  type TopicEventRequest,
} from '../../../runtime/generated/dapr/proto/runtime/v1/appcallback_pb.ts';
import {
  SubscribeTopicEventsRequestAlpha1Schema,
  SubscribeTopicEventsResponseAlpha1Schema,
} from '../../../runtime/generated/dapr/proto/runtime/v1/pubsub_pb.ts';
import { createGrpcClient, type GrpcClient } from '../../../runtime/grpc-client/client.ts';
import { codec } from '../../../runtime/grpc-client/codec.ts';
import type { FarCredentials } from '../dapr-api/far-sidecar.ts';

/** An event as the far sidecar sends it. */
export type TopicEvent = TopicEventRequest;

export interface TopicStreamOptions {
  /** `host:port`, or `https://host:port` for TLS. */
  readonly grpcAddress: string;
  readonly credentials: FarCredentials;
  readonly pubsubName: string;
  readonly topic: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly handle: (event: TopicEvent, signal: AbortSignal) => Promise<void>;
}

export interface TopicStream {
  /** Stops; the event in progress is finished and answered first. */
  close(): Promise<void>;
}

const PATH = '/dapr.proto.runtime.v1.Dapr/SubscribeTopicEventsAlpha1';
const FIRST_WAIT_MS = 1000;
const LONGEST_WAIT_MS = 30_000;
/** Asked for at least this often, so that a link that died silently is noticed within a minute. */
const PING_AFTER_MS = 30_000;
const requests = codec(SubscribeTopicEventsRequestAlpha1Schema);
const responses = codec(SubscribeTopicEventsResponseAlpha1Schema);

export function openTopicStream(
  options: TopicStreamOptions,
  deps: Pick<ComponentDeps, 'clock' | 'random' | 'log' | 'componentName'>,
): TopicStream {
  const closing = new AbortController();
  const client = clientOf(options, deps);
  let wait: { readonly timer: Timer; readonly wake: () => void } | undefined;

  const session = async (): Promise<void> => {
    const ended = new AbortController();
    const stream = await client.bidi(PATH, {
      metadata: Object.entries(options.credentials.headers).map(([name, value]) => [
        name.toLowerCase(),
        value,
      ]),
      signal: ended.signal,
    });
    const stop = (): void => stream.end();
    closing.signal.addEventListener('abort', stop, { once: true });
    try {
      const { pubsubName, topic, metadata } = options;
      await stream.send(
        requests.encode(
          create(SubscribeTopicEventsRequestAlpha1Schema, {
            subscribeTopicEventsRequestType: {
              case: 'initialRequest',
              value: { pubsubName, topic, metadata: { ...metadata } },
            },
          }),
        ),
      );
      for await (const bytes of stream.messages) {
        const { subscribeTopicEventsResponseType: part } = responses.decode(bytes);
        if (part.case !== 'eventMessage') continue;
        if (closing.signal.aborted) break;
        const status = await options.handle(part.value, ended.signal).then(
          () => EventStatus.SUCCESS,
          (error: unknown) => {
            deps.log.warn(
              `${deps.componentName}: event ${part.value.id} of topic ${topic} is asked for again: ${errorText(error)}`,
            );
            return EventStatus.RETRY;
          },
        );
        await stream.send(
          requests.encode(
            create(SubscribeTopicEventsRequestAlpha1Schema, {
              subscribeTopicEventsRequestType: {
                case: 'eventProcessed',
                value: { id: part.value.id, status: { status } },
              },
            }),
          ),
        );
        if (closing.signal.aborted) break;
      }
    } finally {
      closing.signal.removeEventListener('abort', stop);
      ended.abort(new Error('the stream ended'));
    }
  };

  const pause = (ms: number): Promise<void> =>
    new Promise((resolve) => {
      wait = { timer: deps.clock.startTimer(ms, resolve, true), wake: resolve };
    });

  const run = async (): Promise<void> => {
    let longest = FIRST_WAIT_MS;
    while (!closing.signal.aborted) {
      const started = deps.clock.monotonicMs();
      let why = 'it was ended by the far sidecar';
      await session().catch((error: unknown) => {
        why = errorText(error);
      });
      if (closing.signal.aborted) return;
      if (deps.clock.monotonicMs() - started > LONGEST_WAIT_MS) longest = FIRST_WAIT_MS;
      const ms = Math.round(longest * (0.1 + 0.9 * deps.random.float()));
      deps.log.warn(
        `${deps.componentName}: the subscription to topic ${options.topic} at ${options.grpcAddress} stopped: ${why}; next attempt in ${ms} ms`,
      );
      longest = Math.min(longest * 2, LONGEST_WAIT_MS);
      await pause(ms);
    }
  };
  const running = run();

  return {
    close: async () => {
      closing.abort(new Error('the subscription is closing'));
      wait?.timer.cancel();
      wait?.wake();
      await running;
      await client.close();
    },
  };
}

function clientOf(options: TopicStreamOptions, deps: Pick<ComponentDeps, 'clock'>): GrpcClient {
  const secure = /^https:\/\//i.test(options.grpcAddress);
  const target = options.grpcAddress.replace(/^(?:https?:\/\/|dns:(?:\/\/\/)?)/i, '').replace(/\/+$/, '');
  const tls: ConnectionOptions = { ...options.credentials.tls, minVersion: 'TLSv1.2' };
  return createGrpcClient({
    target,
    clock: deps.clock,
    ...(secure ? { tls } : {}),
    limits: { pingAfterMs: PING_AFTER_MS },
  });
}

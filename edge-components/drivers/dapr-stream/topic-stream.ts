/**
 * Dapr's streaming subscription at a far sidecar (`SubscribeTopicEventsAlpha1`): one outbound connection brings events
 * down. An event is acknowledged over there only after its handler resolved here; a handler that rejects asks for the
 * event again. Events are handled one after another, so that their order is kept; a broken link is dialled again with
 * full jitter.
 */

import { create } from '@bufbuild/protobuf';
import type { Timer } from '../../../runtime/contracts/clock.ts';
import type { ComponentDeps } from '../../../runtime/contracts/component.ts';
import { errorText } from '../../../runtime/contracts/error.ts';
import type { RelayedSidecar, RelayedStream } from '../../../runtime/contracts/relayed-sidecar.ts';
import {
  TopicEventResponse_TopicEventResponseStatus as EventStatus,
  type TopicEventRequest,
} from '../../../runtime/generated/dapr/proto/runtime/v1/appcallback_pb.ts';
import {
  SubscribeTopicEventsRequestAlpha1Schema,
  SubscribeTopicEventsResponseAlpha1Schema,
} from '../../../runtime/generated/dapr/proto/runtime/v1/pubsub_pb.ts';
import { codec } from '../../../runtime/grpc-client/codec.ts';
import { createFarGrpcClient, type FarGrpcAddress, farMetadata } from './far-grpc.ts';

/** An event as the far sidecar sends it. */
export type TopicEvent = TopicEventRequest;

/** Where streams come from. */
interface Dialled {
  open(signal: AbortSignal): Promise<RelayedStream>;
  reset(): void;
  close(): Promise<void>;
}

export interface TopicStreamOptions extends FarGrpcAddress {
  /** Where the sidecar stands beside the relay: streams go over the link of this node, and address and token say nothing. */
  readonly relayed?: RelayedSidecar | undefined;
  readonly pubsubName: string;
  readonly topic: string;
  readonly metadata: Readonly<Record<string, string>>;
  /** A link that died silently is noticed within this time. */
  readonly silenceLimitMs: number;
  readonly handle: (event: TopicEvent, signal: AbortSignal) => Promise<void>;
}

export interface TopicStream {
  /**
   * The link was away and is back: what was dialled before `askedAt` (monotonic), when the question went out that was answered,
   * is dialled again, now. That includes what was dialled during the outage: a link that flaps may have cut it at the far end alone.
   */
  linkBack(askedAt: number): void;
  /** Stops; the event in progress is finished and answered first. */
  close(): Promise<void>;
  /** Whether events can come; with the reason when they cannot. */
  link(): { readonly up: boolean; readonly reason?: string };
}

const PATH = '/dapr.proto.runtime.v1.Dapr/SubscribeTopicEventsAlpha1';
const FIRST_WAIT_MS = 1000;
const LONGEST_WAIT_MS = 30_000;
/** The part of the silence limit that is left to the answer of a ping. */
const ANSWER_PART = 1 / 6;
const LONGEST_DIAL_MS = 10_000;
const requests = codec(SubscribeTopicEventsRequestAlpha1Schema);
const responses = codec(SubscribeTopicEventsResponseAlpha1Schema);

export function openTopicStream(
  options: TopicStreamOptions,
  deps: Pick<ComponentDeps, 'clock' | 'random' | 'log' | 'componentName'>,
): TopicStream {
  const closing = new AbortController();
  const client = options.relayed === undefined ? dialled(options, deps) : overRelay(options.relayed);
  const where = options.relayed === undefined ? options.grpcAddress : 'the relay';
  let up = false;
  let reason: string | undefined;
  let wait: { readonly timer: Timer; readonly wake: () => void } | undefined;
  let longest = FIRST_WAIT_MS;
  let started = 0;

  const session = async (): Promise<void> => {
    const ended = new AbortController();
    const stream = await client.open(ended.signal);
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
        up = true;
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
    new Promise<void>((resolve) => {
      wait = { timer: deps.clock.startTimer(ms, resolve, true), wake: resolve };
    }).finally(() => {
      wait = undefined;
    });

  const run = async (): Promise<void> => {
    while (!closing.signal.aborted) {
      started = deps.clock.monotonicMs();
      let why = 'it was ended by the far sidecar';
      await session().catch((error: unknown) => {
        why = errorText(error);
      });
      up = false;
      reason = why;
      if (closing.signal.aborted) return;
      if (deps.clock.monotonicMs() - started > LONGEST_WAIT_MS) longest = FIRST_WAIT_MS;
      const ms = Math.round(longest * (0.1 + 0.9 * deps.random.float()));
      deps.log.warn(
        `${deps.componentName}: the subscription to topic ${options.topic} at ${where} stopped: ${why}; next attempt in ${ms} ms`,
      );
      longest = Math.min(longest * 2, LONGEST_WAIT_MS);
      await pause(ms);
    }
  };
  const running = run();

  return {
    linkBack: (askedAt) => {
      longest = FIRST_WAIT_MS;
      if (wait !== undefined) {
        wait.timer.cancel();
        wait.wake();
      } else if (started < askedAt) client.reset();
    },
    link: () => (up || reason === undefined ? { up } : { up, reason }),
    close: async () => {
      closing.abort(new Error('the subscription is closing'));
      wait?.timer.cancel();
      wait?.wake();
      await running;
      await client.close();
    },
  };
}

function overRelay(relayed: RelayedSidecar): Dialled {
  return { open: (signal) => relayed.subscribe(signal), reset: () => {}, close: async () => {} };
}

function dialled(options: TopicStreamOptions, deps: Pick<ComponentDeps, 'clock'>): Dialled {
  const metadata = farMetadata(options.credentials);
  const client = createFarGrpcClient(options, deps.clock, {
    pingAfterMs: options.silenceLimitMs * (1 - ANSWER_PART),
    pingTimeoutMs: options.silenceLimitMs * ANSWER_PART,
    connectTimeoutMs: Math.min(options.silenceLimitMs, LONGEST_DIAL_MS),
  });
  return {
    open: (signal) => client.bidi(PATH, { metadata, signal }),
    reset: () => client.reset(),
    close: () => client.close(),
  };
}

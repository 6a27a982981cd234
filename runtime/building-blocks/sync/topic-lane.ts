/**
 * One way of a topic flow: events of one topic become events of another. An event is acknowledged where it came from once
 * it is in the flow's queue on disk, or, where the target has a queue of its own (`pubsub.dapr`) and the flow limits
 * nothing, once it is in that one.
 */

import type { Timer } from '../../contracts/clock.ts';
import type { LoadedComponent } from '../../contracts/component-source.ts';
import { errorText } from '../../contracts/error.ts';
import { type IncomingMessage, SubscriptionClosingError } from '../../contracts/pubsub.ts';
import type { TopicAddress, TopicFlowSpec } from '../../contracts/resource.ts';
import type { DeliveryOutcome, Spool, SpoolCounts, StoredMessage } from '../../contracts/spool.ts';
import { type KeptSubscription, keepSubscription } from '../pubsub/component-subscription.ts';
import { compileRules } from '../pubsub/routing-rules.ts';
import type { EventSource, SharedParts } from './deps.ts';
import { LinkRecord } from './failures.ts';
import { createLimiter } from './limits.ts';
import { FORWARDED_TYPE, forwardedBytes, travellingEvent, wentRound } from './sync-event.ts';

/** What an event in hand gets at the end. */
const GRACE_MS = 1000;
const QUEUE_MESSAGES = 1_000_000;
const QUEUE_BYTES = 256 * 1024 * 1024;
/** A component whose publishing is confirmed by a durable queue of its own. */
const QUEUED_TYPE = /^pubsub\.dapr$/i;

export interface LaneRequest {
  readonly spec: TopicFlowSpec;
  /** `<Sync>/<flow>`. */
  readonly name: string;
  readonly way: 'up' | 'down';
  /** Tells this flow from all others. */
  readonly mark: string;
}

export interface Lane {
  /** Opens the queue and subscribes. */
  start(): Promise<void>;
  /** A pub/sub component came or went. */
  componentChanged(name: string): void;
  wake(): void;
  /** As it stands now. */
  link(): LinkRecord;
  counts(): Promise<SpoolCounts | undefined>;
  close(): Promise<void>;
}

export function createLane(request: LaneRequest, parts: SharedParts): Lane {
  const { spec, name, way, mark } = request;
  const { clock, components } = parts;
  const log = parts.log;
  const [from, to]: readonly [TopicAddress, TopicAddress] =
    way === 'up' ? [spec.local, spec.remote] : [spec.remote, spec.local];
  const limiter = createLimiter(spec, clock, undefined, parts.usage.budget(`${name}/${way}`));
  const filter = spec.filter === '' ? undefined : compileRules([{ match: spec.filter, path: 'yes' }]);
  const link = new LinkRecord();
  const own = { source: parts.appId, newId: () => parts.ids.uuidv7() };
  const queueName = `${parts.appId}/sync/${name}/${way}`;
  let spool: Spool | undefined;
  let source: EventSource | undefined;
  let subscription: KeptSubscription | undefined;
  let turn: Promise<void> = Promise.resolve();

  /** The target keeps what it takes, and nothing of ours has to hold it back. */
  const direct = (): boolean =>
    way === 'up' &&
    !limiter.limited &&
    spec.ttlMs === 0 &&
    QUEUED_TYPE.test(components.get('pubsub', to.pubsub)?.type ?? '');

  const send = async (data: Uint8Array, metadata: Readonly<Record<string, string>>, signal: AbortSignal) => {
    const message = { topic: to.topic, data, contentType: FORWARDED_TYPE, metadata };
    await parts.publish.publishRaw(to.pubsub, message, signal);
    parts.usage.add(name, way, 1, data.byteLength);
  };

  const passes = (envelope: Readonly<Record<string, unknown>>): boolean => {
    try {
      return filter === undefined || filter.match(envelope) !== undefined;
    } catch (error) {
      // An expression that this event does not fit (a missing member, another type) is not true of it.
      log.debug(`${name}: the filter does not fit an event: ${errorText(error)}`);
      return false;
    }
  };

  const take = async (message: IncomingMessage, signal: AbortSignal): Promise<void> => {
    const event = travellingEvent(message, own);
    if (way === 'down') link.worked(clock.now());
    if (wentRound(event, mark) || !passes(event.envelope)) {
      parts.metrics.count('sync_skipped_total', { flow: name, way });
      return;
    }
    const data = forwardedBytes(event, mark, to);
    const order = message.metadata['partitionKey'] ?? '';
    if (direct()) {
      await send(
        data,
        { priority: String(spec.priority), ...(order === '' ? {} : { partitionKey: order }) },
        signal,
      );
      return;
    }
    if (spool === undefined) throw new Error('the flow is closing');
    await spool.append({
      key: order,
      priority: spec.priority,
      payload: data,
      headers: order === '' ? {} : { partitionKey: order },
    });
  };

  /** A full queue must not hold up the end: the event is given back, and comes again. */
  const whileOpen = (work: Promise<void>): Promise<void> =>
    new Promise((resolve, reject) => {
      let timer: Timer | undefined;
      const stop = (): void => {
        timer = clock.startTimer(GRACE_MS, () => reject(new SubscriptionClosingError()), true);
      };
      parts.closing.addEventListener('abort', stop, { once: true });
      work.then(resolve, reject).finally(() => {
        parts.closing.removeEventListener('abort', stop);
        timer?.cancel();
      });
    });

  const deliver = async (message: StoredMessage, signal: AbortSignal): Promise<DeliveryOutcome> => {
    const rest = limiter.closed();
    if (rest !== undefined) link.resting(rest.reason);
    try {
      await limiter.take(1, message.payload.byteLength, signal);
      await send(message.payload, { ...message.headers, priority: String(spec.priority) }, signal);
      link.worked(clock.now());
      return 'delivered';
    } catch (error) {
      if (!signal.aborted) link.failed(error, clock.now());
      return { retry: errorText(error) };
    }
  };

  const subscribe = (component: LoadedComponent<'pubsub'>): void => {
    const topic = parts.publish.scopesOf(component).brokerTopic(from.topic);
    subscription = keepSubscription({
      label: `topic '${from.topic}' of pubsub '${from.pubsub}' (Sync ${name})`,
      clock,
      log,
      open: async () => {
        source ??= await parts.sourceOf(component, mark, parts.closing);
        return source.instance.subscribe({ topic, metadata: {} }, (message, signal) =>
          whileOpen(take(message, signal)),
        );
      },
      drain: async () => undefined,
    });
  };
  const unsubscribe = async (): Promise<void> => {
    const [old, given] = [subscription, source];
    subscription = undefined;
    source = undefined;
    await old?.close();
    await given?.close();
  };
  const follow = (): Promise<void> => {
    turn = turn
      .then(unsubscribe)
      .then(() => {
        const component = components.get('pubsub', from.pubsub);
        if (component !== undefined && !parts.closing.aborted) subscribe(component);
      })
      .catch((error) => {
        link.failed(error, clock.now());
        log.error(`${name}: subscribing to ${from.pubsub}/${from.topic} failed: ${errorText(error)}`);
      });
    return turn;
  };

  /** What the component itself knows of a subscription over the link. */
  const look = (): LinkRecord => {
    const component = way === 'down' ? components.get('pubsub', from.pubsub) : undefined;
    if (component === undefined) return link;
    const known = source?.instance.link?.(parts.publish.scopesOf(component).brokerTopic(from.topic));
    if (known !== undefined) link.told(known, clock.now());
    return link;
  };

  return {
    link: look,
    start: async () => {
      if (!direct()) {
        spool = await parts.spools.open({
          name: queueName,
          maxMessages: QUEUE_MESSAGES,
          maxBytes: QUEUE_BYTES,
          whenFull: 'block',
          ttlMs: spec.ttlMs,
        });
        spool.drain(deliver);
      }
      void follow();
    },
    componentChanged: (changed) => {
      if (changed === from.pubsub) void follow();
      if (changed === to.pubsub) spool?.wake();
    },
    wake: () => spool?.wake(),
    counts: async () => {
      if (spool !== undefined) return spool.counts();
      const queue = `${parts.appId}/${to.pubsub}`;
      return (await parts.spools.list()).find((known) => known.name === queue)?.counts;
    },
    close: async () => {
      await turn;
      await unsubscribe();
      await spool?.close();
      await limiter.close();
    },
  };
}

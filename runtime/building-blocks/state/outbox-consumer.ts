/**
 * The receiving side of the outbox: one subscription per internal topic, kept equal to the stores that are loaded; each
 * announcement is published to its public topic once its marker was seen in the store.
 */

import type { Clock } from '../../contracts/clock.ts';
import { CLOUD_EVENTS_JSON } from '../../contracts/cloud-event.ts';
import type { ComponentSource, LoadedComponent } from '../../contracts/component-source.ts';
import { errorText } from '../../contracts/error.ts';
import type { Logger } from '../../contracts/logger.ts';
import type { IncomingMessage } from '../../contracts/pubsub.ts';
import type { Announced, OutboxMessaging, OutboxSettings } from './outbox.ts';

export interface OutboxConsumerOptions {
  readonly components: ComponentSource;
  readonly messaging: OutboxMessaging;
  readonly clock: Clock;
  readonly log: Logger;
  readonly settingsOf: (component: LoadedComponent<'state'>) => OutboxSettings | undefined;
  /** The transaction of this process behind an announcement, once. */
  readonly takeAnnounced: (id: string) => Announced | undefined;
}

export interface OutboxConsumer {
  /** Subscribes to the internal topics of all stores and follows their coming and going. */
  start(): Promise<void>;
  /** Ends the subscriptions; announcements that wait for their marker stay with the broker. */
  close(): Promise<void>;
}

const FIRST_LOOK_MS = 1000;
/** Waits between further looks; together with the first they stay within 10 s. */
const FURTHER_LOOKS_MS: readonly number[] = [500, 1500, 3000, 3000];
const NO_OPTIONS = { concurrency: '', consistency: '' };

interface InternalTopic {
  readonly pubsubName: string;
  readonly topic: string;
}

type Found = { readonly store: LoadedComponent<'state'>; readonly settings: OutboxSettings };

export function createOutboxConsumer(options: OutboxConsumerOptions): OutboxConsumer {
  const { components, messaging, clock, log, settingsOf } = options;
  const open = new Map<string, Promise<{ close(): Promise<void> }>>();
  const closing = new AbortController();
  let stopWatching: (() => void) | undefined;

  const keyOf = ({ pubsubName, topic }: InternalTopic): string => JSON.stringify([pubsubName, topic]);
  /** Stores that announce on this topic: several may share one. */
  const storesOf = (internal: InternalTopic): readonly Found[] =>
    components.list('state').flatMap((store) => {
      const settings = settingsOf(store);
      return settings !== undefined &&
        settings.internalPubsub === internal.pubsubName &&
        settings.internalTopic === internal.topic
        ? [{ store, settings }]
        : [];
    });

  const markerIn = async (
    internal: InternalTopic,
    id: string,
    signal: AbortSignal,
  ): Promise<Found | undefined> => {
    for (const found of storesOf(internal)) {
      const request = { key: id, consistency: '', metadata: {} };
      const record = await found.store.instance.get(request, signal);
      if (record !== undefined && record.value.byteLength > 0) return found;
    }
    return undefined;
  };
  /** Runs `attempt` now and after each further wait until it gives something; the last failure is thrown. */
  const withWaits = async <T>(
    signal: AbortSignal,
    attempt: () => Promise<T | undefined>,
  ): Promise<T | undefined> => {
    for (const wait of [...FURTHER_LOOKS_MS, undefined]) {
      try {
        const result = await attempt();
        if (result !== undefined || wait === undefined) return result;
      } catch (error) {
        if (wait === undefined) throw error;
      }
      await clock.sleep(wait, signal);
    }
    return undefined;
  };

  const removeMarker = async (
    store: LoadedComponent<'state'>,
    id: string,
    signal: AbortSignal,
  ): Promise<void> => {
    const request = { kind: 'delete', key: id, options: NO_OPTIONS, metadata: {} } as const;
    try {
      await withWaits(signal, async () => {
        await store.instance.delete(request, signal);
        return true;
      });
    } catch (error) {
      // The event is out; refusing it now would only send it again.
      log.warn(`the outbox marker ${id} stays in state store ${store.name}: ${errorText(error)}`);
    }
  };

  const handle = async (
    internal: InternalTopic,
    message: IncomingMessage,
    signal: AbortSignal,
  ): Promise<void> => {
    const id = eventId(message.data);
    if (id === undefined) {
      log.error(`a message on the outbox topic ${internal.topic} is no event with an id and was dropped`);
      return;
    }
    const waiting = AbortSignal.any([signal, closing.signal]);
    const announced = options.takeAnnounced(id);
    if (announced === undefined) await clock.sleep(FIRST_LOOK_MS, waiting);
    else if ((await within(clock, FIRST_LOOK_MS, announced, waiting)) === 'refused') return;
    const found = await withWaits(waiting, () => markerIn(internal, id, waiting));
    if (found === undefined) return missing(internal, id);
    const { store, settings } = found;
    const data = messaging.redirectEvent(message.data, settings.publishPubsub, settings.publishTopic);
    const event = { topic: settings.publishTopic, data, contentType: CLOUD_EVENTS_JSON, metadata: {} };
    await messaging.publishRaw(settings.publishPubsub, event, signal);
    await removeMarker(store, id, waiting);
  };
  const missing = (internal: InternalTopic, id: string): void => {
    const stores = storesOf(internal);
    const what = `outbox event ${id} of topic ${internal.topic}: its state was not found`;
    if (stores.length > 0 && stores.every(({ settings }) => settings.discardWhenMissing)) {
      log.error(`${what}; discarded`);
      return;
    }
    log.error(`${what}; left for later`);
    throw new Error(what);
  };

  const wantedTopics = (): ReadonlyMap<string, InternalTopic> => {
    const stores = closing.signal.aborted ? [] : components.list('state');
    const topics = stores.flatMap((store): [string, InternalTopic][] => {
      const settings = settingsOf(store);
      if (settings === undefined) return [];
      const internal = { pubsubName: settings.internalPubsub, topic: settings.internalTopic };
      return [[keyOf(internal), internal]];
    });
    return new Map(topics);
  };
  const subscribe = (internal: InternalTopic): Promise<{ close(): Promise<void> }> => {
    const { pubsubName, topic } = internal;
    if (components.get('pubsub', pubsubName) === undefined) {
      log.warn(`could not subscribe to internal outbox topic: outbox pubsub ${pubsubName} not loaded`);
    }
    return messaging.subscribeInternal(pubsubName, topic, (message, signal) =>
      handle(internal, message, signal),
    );
  };
  const reconcile = async (): Promise<void> => {
    const wanted = wantedTopics();
    const work: Promise<unknown>[] = [];
    for (const [key, subscription] of open) {
      if (wanted.has(key)) continue;
      open.delete(key);
      work.push(subscription.then((opened) => opened.close()));
    }
    for (const [key, internal] of wanted) {
      if (open.has(key)) continue;
      const subscription = subscribe(internal);
      open.set(key, subscription);
      work.push(subscription);
    }
    for (const result of await Promise.allSettled(work)) {
      if (result.status === 'rejected') log.error(`outbox subscription: ${errorText(result.reason)}`);
    }
  };

  return {
    start: async () => {
      if (stopWatching !== undefined || closing.signal.aborted) return;
      stopWatching = components.onChange(({ component }) => {
        if (component.category === 'state') void reconcile();
      });
      await reconcile();
    },
    close: async () => {
      closing.abort(new Error('the outbox is closing'));
      stopWatching?.();
      await reconcile();
    },
  };
}

/** `id` of an envelope; `undefined` when the bytes are none. */
function eventId(data: Uint8Array): string | undefined {
  try {
    const envelope: unknown = JSON.parse(
      Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString(),
    );
    if (typeof envelope !== 'object' || envelope === null || !('id' in envelope)) return undefined;
    return typeof envelope.id === 'string' ? envelope.id : undefined;
  } catch {
    return undefined;
  }
}

/** The outcome, when it is known within `limitMs`. */
async function within(
  clock: Clock,
  limitMs: number,
  announced: Announced,
  signal: AbortSignal,
): Promise<Awaited<Announced['outcome']> | undefined> {
  const over = new AbortController();
  try {
    const tooLong = clock.sleep(limitMs, AbortSignal.any([signal, over.signal])).then(() => undefined);
    const outcome = await Promise.race([announced.outcome, tooLong]);
    // A store that failed may write late: look as if nothing were known.
    if (outcome === 'unknown') await tooLong;
    return outcome;
  } finally {
    over.abort();
  }
}

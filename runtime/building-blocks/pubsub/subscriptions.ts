/**
 * The subscriptions block: which subscriptions are in force. Declarative and programmatic ones belong to the app and
 * rest while it is not healthy (what is durable waits at the broker); streaming and internal ones do not depend on it.
 * Every change (app health, resources, components) ends in `reconcile`.
 */

import type { AppChannel } from '../../contracts/app-channel.ts';
import type { SubscriptionsBlock } from '../../contracts/blocks.ts';
import type { Clock } from '../../contracts/clock.ts';
import type { ComponentSource, LoadedComponent } from '../../contracts/component-source.ts';
import { errorText, runtimeError } from '../../contracts/error.ts';
import type { Ids } from '../../contracts/ids.ts';
import type { Logger } from '../../contracts/logger.ts';
import type { Metrics } from '../../contracts/metrics.ts';
import type { MessageHandler } from '../../contracts/pubsub.ts';
import type { Policies } from '../../contracts/resiliency.ts';
import type { ProgrammaticSubscription, SubscriptionResource } from '../../contracts/resource.ts';
import type { Tracer } from '../../contracts/trace.ts';
import { appReceivers, streamReceiver } from './app-receivers.ts';
import type { KeptSubscription } from './component-subscription.ts';
import { createDeadLetters } from './dead-letter.ts';
import { mergeSubscriptions, subscriptionInfo } from './merge-subscriptions.ts';
import { createProgrammaticSubscriptions } from './programmatic-subscriptions.ts';
import type { Publishing } from './publish.ts';
import { compileRules } from './routing-rules.ts';
import { createSubscriptionOpener } from './subscription-opener.ts';
import { createSubscriptionSet, type WantedSubscription } from './subscription-set.ts';

export interface SubscriptionsOptions {
  readonly appId: string;
  /** As for the publish block: empty when `NAMESPACE` is not set. */
  readonly namespace: string;
  readonly components: ComponentSource;
  readonly policies: Policies;
  readonly appChannel: () => AppChannel | undefined;
  /** Subscription resources in scope of the app, in load order. */
  readonly declarative: () => readonly SubscriptionResource[];
  readonly publish: Pick<Publishing, 'publishRaw' | 'scopesOf'>;
  readonly clock: Clock;
  readonly ids: Ids;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly tracer: Tracer;
  /** False: the app is not asked (`--disable-init-endpoints subscribe`). */
  readonly askApp?: boolean;
  readonly decodeCbor?: (bytes: Uint8Array) => unknown;
}

export interface Subscriptions extends SubscriptionsBlock {
  /** Faults of declarative subscriptions (rules that do not compile): fatal at start in Dapr. */
  faults(): readonly string[];
  /** The app is healthy: asks it for its subscriptions and opens all. Resolves after the first attempt of each. */
  start(): Promise<void>;
  /** The app is not healthy: its subscriptions are closed, deliveries under way end first. */
  pause(): Promise<void>;
  /** Before the end: brokers that can pause hand out nothing more, and what they had handed out is handled. */
  drain(): Promise<void>;
  /** The app is healthy again; the same as `start`. */
  resume(): Promise<void>;
  /** Subscription resources changed. Changes of components are noticed without being told. */
  reload(): Promise<void>;
  /** Ends everything for good; deliveries under way get up to 30 s. */
  close(): Promise<void>;
  /** Messages of a topic that the app does not see (outbox); independent of app health, retried until it works. */
  subscribeInternal(
    pubsubName: string,
    topic: string,
    handler: MessageHandler,
  ): Promise<InternalSubscription>;
}

export interface InternalSubscription {
  close(): Promise<void>;
}

/** A subscription that does not depend on the app's health. */
interface Standing {
  readonly pubsubName: string;
  /** Absent for internal ones, which nobody lists. */
  readonly spec?: ProgrammaticSubscription;
  open(component: LoadedComponent<'pubsub'>, after: Promise<void> | undefined): KeptSubscription;
}

const STREAM_RULES = [{ match: '', path: '/' }];
const NO_BULK = { enabled: false, maxMessagesCount: 0, maxAwaitDurationMs: 0 };

export function createSubscriptions(options: SubscriptionsOptions): Subscriptions {
  const { components, log, clock, publish } = options;
  const deadLetters = createDeadLetters({ publishRaw: publish.publishRaw, clock, log });
  const newId = (): string => options.ids.uuid();
  const opener = createSubscriptionOpener({ ...options, deadLetters, scopesOf: publish.scopesOf, newId });
  const app = appReceivers(options.appChannel);
  const set = createSubscriptionSet(log);
  const standing = new Map<string, Standing>();
  let appWanted = false;
  let appReady = false;
  let closed = false;
  let skipNoted = false;
  let count = 0;

  const merged = () => mergeSubscriptions(options.declarative(), programmatic.list);
  const appSubscriptions = (): [string, WantedSubscription][] =>
    merged().flatMap(({ key, spec }) => {
      const component = components.get('pubsub', spec.pubsubName);
      if (component === undefined || spec.topic === '') return [];
      const open: WantedSubscription['open'] = (after) => opener.open(component, spec, app, after);
      return [[`app ${key}`, { component, signature: signatureOf(spec), open }]];
    });
  const standingSubscriptions = (): [string, WantedSubscription][] =>
    [...standing].flatMap(([key, entry]) => {
      const component = components.get('pubsub', entry.pubsubName);
      if (component === undefined) return [];
      return [[key, { component, signature: '', open: (after) => entry.open(component, after) }]];
    });
  const reconcile = (): Promise<void> => {
    if (closed) return set.reconcile(new Map());
    const forApp = appReady && options.appChannel() !== undefined ? appSubscriptions() : [];
    return set.reconcile(new Map([...forApp, ...standingSubscriptions()]));
  };
  const programmatic = createProgrammaticSubscriptions({ ...options, answered: () => void reconcile() });
  const refresh = async (): Promise<void> => {
    if (appWanted && components.list('pubsub').length > 0) {
      if (options.appChannel() === undefined) {
        log.warn(
          'app channel not initialized, make sure -app-port is specified if subscriptions are required',
        );
      } else if (options.askApp !== false) await programmatic.ask();
      else if (!skipNoted) {
        skipNoted = true;
        log.warn("Skipping programmatic subscription loading (see 'disable-init-endpoints' flag)");
      }
    }
    appReady = appWanted;
    await reconcile();
  };
  const stopWatching = components.onChange(({ component }) => {
    if (component.category === 'pubsub') void refresh();
  });
  const start = async (): Promise<void> => {
    appWanted = !closed;
    await refresh();
  };
  const stand = (entry: Standing): { readonly key: string; close(): Promise<void> } => {
    count += 1;
    const key = `standing ${count}`;
    standing.set(key, entry);
    const close = async (): Promise<void> => {
      standing.delete(key);
      await set.end(key);
    };
    return { key, close };
  };

  return {
    list: () => {
      const streams = [...standing.values()].flatMap(({ spec }) => (spec === undefined ? [] : [spec]));
      return [
        ...merged().map(({ spec, type }) => subscriptionInfo(spec, type)),
        ...streams.map((spec) => subscriptionInfo(spec, 'STREAMING')),
      ];
    },
    faults: () => options.declarative().flatMap(ruleFaults),
    start,
    resume: start,
    pause: async () => {
      appWanted = false;
      appReady = false;
      programmatic.stop();
      await reconcile();
    },
    drain: async () => {
      await Promise.all(components.list('pubsub').map(({ instance }) => instance.pause?.()));
    },
    reload: refresh,
    close: async () => {
      closed = true;
      appWanted = false;
      stopWatching();
      programmatic.stop();
      await reconcile();
    },
    subscribeStream: async (request, deliver) => {
      const { pubsubName } = request;
      if (closed) throw runtimeError('internal', { error: 'the sidecar is shutting down' });
      const component = components.get('pubsub', pubsubName);
      if (component === undefined) throw runtimeError('pubsubNotFound', { pubsub: pubsubName }, { info: {} });
      const spec: ProgrammaticSubscription = { ...request, rules: STREAM_RULES, bulk: NO_BULK };
      const receivers = { receive: streamReceiver(deliver) };
      const open: Standing['open'] = (target, after) => opener.open(target, spec, receivers, after);
      const { key, close } = stand({ pubsubName, spec, open });
      try {
        await set.open(key, { component, signature: '', open: (after) => open(component, after) });
      } catch (cause) {
        await close();
        const error = `failed to create subscription for ${pubsubName}: ${errorText(cause)}`;
        throw runtimeError('unknown', { error }, { cause });
      }
      return { close };
    },
    subscribeInternal: async (pubsubName, topic, handler) => {
      const open: Standing['open'] = (component, after) =>
        opener.openInternal(component, topic, handler, after);
      const { close } = stand({ pubsubName, open });
      await reconcile();
      return { close };
    },
  };
}

function signatureOf(spec: ProgrammaticSubscription): string {
  const { metadata, rules, deadLetterTopic, bulk } = spec;
  return JSON.stringify({ metadata, rules, deadLetterTopic, bulk });
}

function ruleFaults(spec: SubscriptionResource): readonly string[] {
  try {
    compileRules(spec.rules);
    return [];
  } catch (error) {
    const { file, document } = spec.origin;
    return [`Subscription ${spec.name} (${file} document ${document}): ${errorText(error)}`];
  }
}

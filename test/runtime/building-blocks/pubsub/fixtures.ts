/** Doubles for the pub/sub block: an in-memory broker, a component source, an app that is scripted per path. */

import { createPublishBlock, type Publishing } from '../../../../runtime/building-blocks/pubsub/publish.ts';
import {
  createSubscriptions,
  type Subscriptions,
  type SubscriptionsOptions,
} from '../../../../runtime/building-blocks/pubsub/subscriptions.ts';
import type {
  AppChannel,
  BulkTopicDelivery,
  DeliveryResult,
  TopicDelivery,
} from '../../../../runtime/contracts/app-channel.ts';
import type { CallContext } from '../../../../runtime/contracts/call-context.ts';
import type { Category, CategoryInstances } from '../../../../runtime/contracts/component.ts';
import type { ComponentSource, LoadedComponent } from '../../../../runtime/contracts/component-source.ts';
import type { Labels, Metrics } from '../../../../runtime/contracts/metrics.ts';
import type {
  IncomingMessage,
  MessageHandler,
  PublishMessage,
  PubSub,
} from '../../../../runtime/contracts/pubsub.ts';
import type { Policies } from '../../../../runtime/contracts/resiliency.ts';
import type { ProgrammaticSubscription, ResiliencyResource } from '../../../../runtime/contracts/resource.ts';
import {
  type Span,
  type TraceContext,
  type Tracer,
  ZERO_TRACEPARENT,
} from '../../../../runtime/contracts/trace.ts';
import { createPolicies } from '../../../../runtime/resiliency/policies.ts';
import { countingIds } from '../../../support/counting-ids.ts';
import { type FakeClock, fakeClock } from '../../../support/fake-clock.ts';
import {
  type RecordedLine,
  type RecordingLogger,
  recordingLogger,
} from '../../../support/recording-logger.ts';
import { seededRandom } from '../../../support/seeded-random.ts';

/** A broker that hands every message to its subscribers at once; what a handler rejects is kept in `unacknowledged`. */
export interface FakeBroker extends PubSub {
  readonly published: PublishMessage[];
  readonly unacknowledged: { readonly message: IncomingMessage; readonly error: unknown }[];
  readonly topics: () => readonly string[];
  readonly deliver: (message: IncomingMessage) => Promise<void>;
  features: string[];
  failPublish: ((message: PublishMessage) => Error | undefined) | undefined;
  failSubscribe: Error | undefined;
}

export function fakeBroker(): FakeBroker {
  const handlers = new Set<{ topic: string; handler: MessageHandler; controller: AbortController }>();
  const broker: FakeBroker = {
    published: [],
    unacknowledged: [],
    features: ['SUBSCRIBE_WILDCARDS'],
    failPublish: undefined,
    failSubscribe: undefined,
    topics: () => [...handlers].map((entry) => entry.topic),
    init: async () => {},
    close: async () => {},
    deliver: async (message) => {
      const matching = [...handlers].filter(({ topic }) =>
        topic.endsWith('*') ? message.topic.startsWith(topic.slice(0, -1)) : topic === message.topic,
      );
      await Promise.all(
        matching.map(async ({ handler, controller }) => {
          try {
            await handler(message, controller.signal);
          } catch (error) {
            broker.unacknowledged.push({ message, error });
          }
        }),
      );
    },
    publish: async (message) => {
      const error = broker.failPublish?.(message);
      if (error !== undefined) throw error;
      broker.published.push(message);
      const { topic, data, metadata, contentType } = message;
      void broker.deliver({ topic, data, metadata, ...(contentType === undefined ? {} : { contentType }) });
    },
    subscribe: async ({ topic }, handler) => {
      if (broker.failSubscribe !== undefined) throw broker.failSubscribe;
      const entry = { topic, handler, controller: new AbortController() };
      handlers.add(entry);
      return { close: async () => void handlers.delete(entry) };
    },
  };
  return broker;
}

export function loaded(
  name: string,
  instance: PubSub,
  more: Partial<LoadedComponent<'pubsub'>> = {},
): LoadedComponent<'pubsub'> {
  return {
    name,
    category: 'pubsub',
    type: 'pubsub.in-memory',
    version: 'v1',
    metadata: {},
    capabilities: instance.features,
    instance,
    ...more,
  };
}

export interface FakeComponents extends ComponentSource {
  add(component: LoadedComponent<'pubsub'>): void;
  remove(name: string): void;
}

export function fakeComponents(...initial: LoadedComponent<'pubsub'>[]): FakeComponents {
  const all = new Map(initial.map((component) => [component.name, component]));
  const watchers = new Set<Parameters<ComponentSource['onChange']>[0]>();
  const tell = (kind: 'added' | 'removed', component: LoadedComponent): void => {
    for (const watcher of watchers) watcher({ kind, component });
  };
  return {
    get: <C extends Category>(category: C, name: string) =>
      (category === 'pubsub' ? all.get(name) : undefined) as LoadedComponent<C> | undefined,
    list: <C extends keyof CategoryInstances>(category: C) =>
      (category === 'pubsub' ? [...all.values()] : []) as unknown as readonly LoadedComponent<C>[],
    onChange: (changed) => {
      watchers.add(changed);
      return () => void watchers.delete(changed);
    },
    add: (component) => {
      all.set(component.name, component);
      tell('added', component);
    },
    remove: (name) => {
      const component = all.get(name);
      all.delete(name);
      if (component !== undefined) tell('removed', component);
    },
  };
}

export function passiveTracer(enabled = true): Tracer {
  return { enabled, start: (_name, incoming) => fakeSpan(incoming) };
}

export function fakeSpan(context: TraceContext = {}): Span {
  const span: Span = {
    context: { ...context, traceparent: context.traceparent ?? ZERO_TRACEPARENT },
    child: () => span,
    setAttribute: () => {},
    end: () => {},
  };
  return span;
}

export interface RecordedMetric {
  readonly name: string;
  readonly labels: Labels;
  readonly value: number;
}

export function recordingMetrics(): Metrics & { readonly records: RecordedMetric[] } {
  const records: RecordedMetric[] = [];
  return {
    records,
    count: (name, labels, amount = 1) => void records.push({ name, labels, value: amount }),
    observe: (name, labels, value) => void records.push({ name, labels, value }),
    gauge: (name, labels, value) => void records.push({ name, labels, value }),
  };
}

export interface FakeApp extends AppChannel {
  readonly events: TopicDelivery[];
  readonly batches: BulkTopicDelivery[];
  asked: number;
  subscribed: readonly ProgrammaticSubscription[];
  failAsk: Error | undefined;
  answer: (delivery: TopicDelivery, signal: AbortSignal) => DeliveryResult | Promise<DeliveryResult>;
  answerBulk: (
    delivery: BulkTopicDelivery,
    signal: AbortSignal,
  ) => readonly DeliveryResult[] | Promise<readonly DeliveryResult[]>;
}

export function fakeApp(): FakeApp {
  const unused = (): never => {
    throw new Error('not part of this test');
  };
  const app: FakeApp = {
    protocol: 'http',
    events: [],
    batches: [],
    asked: 0,
    subscribed: [],
    failAsk: undefined,
    answer: () => ({ kind: 'success' }),
    answerBulk: (delivery) => delivery.entries.map(() => ({ kind: 'success' })),
    subscriptions: async () => {
      app.asked += 1;
      if (app.failAsk !== undefined) throw app.failAsk;
      return app.subscribed;
    },
    deliverEvent: async (delivery, signal) => {
      app.events.push(delivery);
      return app.answer(delivery, signal);
    },
    deliverBulk: async (delivery, signal) => {
      app.batches.push(delivery);
      return app.answerBulk(delivery, signal);
    },
    invoke: unused,
    configuration: unused,
    wantsBinding: unused,
    deliverBinding: unused,
    deliverConfiguration: unused,
    probe: unused,
    close: async () => {},
  };
  return app;
}

export function subscription(
  topic: string,
  more: Partial<ProgrammaticSubscription> = {},
): ProgrammaticSubscription {
  return {
    pubsubName: 'ps',
    topic,
    metadata: {},
    rules: [{ match: '', path: `/${topic}` }],
    deadLetterTopic: '',
    bulk: { enabled: false, maxMessagesCount: 0, maxAwaitDurationMs: 0 },
    ...more,
  };
}

export interface Bench {
  readonly clock: FakeClock;
  readonly log: RecordingLogger;
  readonly lines: RecordedLine[];
  readonly metrics: ReturnType<typeof recordingMetrics>;
  readonly broker: FakeBroker;
  readonly components: FakeComponents;
  readonly policies: Policies;
  readonly app: FakeApp;
  readonly publish: Publishing;
  readonly subscriptions: Subscriptions;
  readonly call: CallContext;
  /** Publishes JSON or text and lets everything settle. */
  send(topic: string, body: unknown, metadata?: Record<string, string>, contentType?: string): Promise<void>;
}

/** The whole block around one broker `ps`, with the given resiliency spec. */
export function bench(
  options: {
    resiliency?: Record<string, unknown>;
    subscribed?: readonly ProgrammaticSubscription[];
    more?: Partial<SubscriptionsOptions>;
    tracer?: Tracer;
    component?: Partial<LoadedComponent<'pubsub'>>;
    namespace?: string;
  } = {},
): Bench {
  const clock = fakeClock();
  const lines: RecordedLine[] = [];
  const log = recordingLogger(lines);
  const metrics = recordingMetrics();
  const broker = fakeBroker();
  const components = fakeComponents(loaded('ps', broker, options.component));
  const namespace = options.namespace ?? 'default';
  const resources: ResiliencyResource[] =
    options.resiliency === undefined
      ? []
      : [
          {
            kind: 'Resiliency',
            name: 'r',
            namespace: '',
            scopes: [],
            origin: { file: 'r.yaml', document: 1 },
            spec: options.resiliency,
          },
        ];
  const policies = createPolicies({
    resources,
    appId: 'app',
    clock,
    random: seededRandom(1),
    metrics,
    log,
  });
  const app = fakeApp();
  app.subscribed = options.subscribed ?? [];
  const tracer = options.tracer ?? passiveTracer();
  const ids = countingIds();
  const shared = { appId: 'app', namespace, components, policies, clock, ids, metrics, log, tracer };
  const publish = createPublishBlock(shared);
  const subscriptions = createSubscriptions({
    ...shared,
    publish,
    appChannel: () => app,
    declarative: () => [],
    ...options.more,
  });
  const call: CallContext = { signal: new AbortController().signal, protocol: 'http', span: fakeSpan(), log };
  const send: Bench['send'] = async (topic, body, metadata = {}, contentType) => {
    const type = contentType ?? (typeof body === 'string' ? 'text/plain' : 'application/json');
    const data = Buffer.from(typeof body === 'string' ? body : JSON.stringify(body));
    await publish.publish({ pubsubName: 'ps', topic, data, contentType: type, metadata }, call);
    await clock.advance(0);
  };
  return {
    clock,
    log,
    lines,
    metrics,
    broker,
    components,
    policies,
    app,
    publish,
    subscriptions,
    call,
    send,
  };
}

/** JSON of bytes. */
export function json(bytes: Uint8Array | undefined): Record<string, unknown> {
  return JSON.parse(Buffer.from(bytes ?? new Uint8Array()).toString());
}

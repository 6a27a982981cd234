/**
 * Input bindings: asks the app which it wants, delivers their events under the inbound policy, acts on the reply. An
 * event is acknowledged to its component only after the app took it (HTTP reference, section 9.2).
 */

import type { AppChannel, BindingReply } from '../../contracts/app-channel.ts';
import type { BindingEvent } from '../../contracts/binding.ts';
import type { Clock } from '../../contracts/clock.ts';
import {
  type ComponentSource,
  type LoadedComponent,
  metadataItem,
} from '../../contracts/component-source.ts';
import { errorText } from '../../contracts/error.ts';
import type { Logger } from '../../contracts/logger.ts';
import { splitCommaList } from '../../contracts/metadata.ts';
import type { Metrics } from '../../contracts/metrics.ts';
import type { Policies, StatusCarrier } from '../../contracts/resiliency.ts';
import type { Span, TraceContext, Tracer } from '../../contracts/trace.ts';

/** What a reply may ask for: state to save, output bindings to call. */
export interface ReplyActions {
  run(component: LoadedComponent<'bindings'>, reply: BindingReply, signal: AbortSignal): Promise<void>;
}

export interface InputBindingsDeps {
  readonly namespace: string;
  readonly components: ComponentSource;
  readonly appChannel: () => AppChannel | undefined;
  readonly policies: Policies;
  readonly replies: ReplyActions;
  readonly probeTimeoutMs: number;
  readonly tracer: Tracer;
  readonly clock: Clock;
  readonly metrics: Metrics;
  readonly log: Logger;
}

export interface InputBindings {
  /** The app is healthy: probes and starts what it wants. Safe to call again. */
  start(): Promise<void>;
  /** Stops reading and waits for events in flight. */
  stop(): Promise<void>;
  /** Components came or went: ends the readers of those gone, starts new ones when the app is healthy. */
  reload(): Promise<void>;
}

type Side = 'input' | 'output';

function directions(component: LoadedComponent<'bindings'>): readonly Side[] {
  return splitCommaList(metadataItem(component, 'direction') ?? '').filter(
    (side): side is Side => side === 'input' || side === 'output',
  );
}

/** A component may bring the trace of the event. */
function incomingTrace({ metadata }: BindingEvent): TraceContext {
  const { traceparent, tracestate } = metadata;
  if (traceparent === undefined) return {};
  return { traceparent, ...(tracestate === undefined ? {} : { tracestate }) };
}

/** Marks of a delivery's span, as Dapr gives them. */
function describe(span: Span, name: string, route: string, protocol: AppChannel['protocol']): void {
  const grpc = protocol === 'grpc' || protocol === 'grpcs';
  span.setAttribute('rpc.service', 'Dapr');
  span.setAttribute('db.system', 'bindings');
  span.setAttribute('db.name', name);
  span.setAttribute(
    'db.connection_string',
    grpc ? '/dapr.proto.runtime.v1.AppCallback/OnBindingEvent' : `POST ${route}`,
  );
}

export function createInputBindings(deps: InputBindingsDeps): InputBindings {
  const running = new Map<LoadedComponent, { close(): Promise<void> }>();
  /** Components whose start is under way; a second call must not open them twice. */
  const starting = new Set<LoadedComponent>();
  let generation = 0;
  let active = false;

  const deliver =
    (component: LoadedComponent<'bindings'>, route: string) =>
    async (event: BindingEvent, signal: AbortSignal) => {
      const channel = deps.appChannel();
      if (channel === undefined) throw new Error('app channel is not initialized');
      const started = deps.clock.monotonicMs();
      const span = deps.tracer.start(`bindings/${component.name}`, incomingTrace(event));
      if (span.recording === true) describe(span, component.name, route, channel.protocol);
      let success = 'false';
      let failure: string | undefined;
      try {
        const policy = deps.policies.componentInbound(component.name, 'Binding');
        const attempt = (attemptSignal: AbortSignal): Promise<BindingReply> =>
          channel.deliverBinding(component.name, route, event, span.context, attemptSignal);
        const reply = policy.active
          ? await policy.run(attempt, { signal, failed: notTaken, status: (error) => error as StatusCarrier })
          : await attempt(signal);
        await deps.replies.run(component, reply, signal);
        success = 'true';
        return reply.data;
      } catch (error) {
        failure = errorText(error);
        throw error;
      } finally {
        span.end(failure);
        const labels = { component: component.name, namespace: deps.namespace, success };
        deps.metrics.count('component_input_binding_count', labels);
        deps.metrics.observe('component_input_binding_latencies', labels, deps.clock.monotonicMs() - started);
      }
    };

  const open = async (
    component: LoadedComponent<'bindings'>,
    channel: AppChannel,
    mine: number,
  ): Promise<void> => {
    const sides = directions(component);
    const route = `/${(metadataItem(component, 'route') ?? component.name).replace(/^\//, '')}`;
    const wanted =
      sides.includes('input') ||
      (await channel
        .wantsBinding(component.name, route, AbortSignal.timeout(deps.probeTimeoutMs))
        .catch((error) => {
          deps.log.warn(
            `the app did not answer the probe for input binding ${component.name}: ${errorText(error)}`,
          );
          return false;
        }));
    if (!wanted) {
      deps.log.info(`app has not subscribed to binding ${component.name}.`);
      return;
    }
    if (mine !== generation) return;
    const reader = await component.instance.read?.(deliver(component, route));
    if (reader === undefined) return;
    const inUse = deps.components.get('bindings', component.name) === component;
    if (mine === generation && inUse) running.set(component, reader);
    else await reader.close();
  };

  const startOne = async (component: LoadedComponent<'bindings'>, mine: number): Promise<void> => {
    const { instance } = component;
    const sides = directions(component);
    if (
      instance.read === undefined ||
      running.has(component) ||
      starting.has(component) ||
      (sides.length > 0 && !sides.includes('input'))
    )
      return;
    const channel = deps.appChannel();
    if (channel === undefined) return;
    starting.add(component);
    try {
      await open(component, channel, mine);
    } finally {
      starting.delete(component);
    }
  };
  const startAll = async (): Promise<void> => {
    const mine = generation;
    await Promise.all(
      deps.components
        .list('bindings')
        .map((component) =>
          startOne(component, mine).catch((error) =>
            deps.log.error(`error reading from input binding ${component.name}: ${errorText(error)}`),
          ),
        ),
    );
  };
  return {
    start: () => {
      active = true;
      return startAll();
    },
    stop: async () => {
      active = false;
      generation += 1;
      const open = [...running.values()];
      running.clear();
      await Promise.all(open.map((reader) => reader.close()));
    },
    reload: async () => {
      const loaded: ReadonlySet<LoadedComponent> = new Set(deps.components.list('bindings'));
      const gone = [...running].filter(([component]) => !loaded.has(component));
      for (const [component] of gone) running.delete(component);
      await Promise.all([...gone.map(([, reader]) => reader.close()), active ? startAll() : undefined]);
    },
  };
}

/** Under a retry policy everything except 200 counts as a failure. */
function notTaken(reply: BindingReply): StatusCarrier | undefined {
  return reply.httpStatus === undefined || reply.httpStatus === 200
    ? undefined
    : { httpStatus: reply.httpStatus };
}

/** What a building block needs around it: components by name, a call, counted metrics, and a policy that a test may set. */

import type { CallContext } from '../../runtime/contracts/call-context.ts';
import type { Category, CategoryInstances } from '../../runtime/contracts/component.ts';
import type { ComponentSource, LoadedComponent } from '../../runtime/contracts/component-source.ts';
import { RuntimeError } from '../../runtime/contracts/error.ts';
import type { Policies, Policy } from '../../runtime/contracts/resiliency.ts';
import type { Span, TraceContext } from '../../runtime/contracts/trace.ts';
import { countingIds } from './counting-ids.ts';
import { type FakeClock, fakeClock } from './fake-clock.ts';
import { type RecordingLogger, recordingLogger } from './recording-logger.ts';

/** A live component around a fake instance; `init` and `close` come for free. */
export function loaded<C extends Category>(
  category: C,
  name: string,
  instance: Omit<CategoryInstances[C], 'init' | 'close'>,
  more: Partial<LoadedComponent<C>> = {},
): LoadedComponent<C> {
  return {
    name,
    category,
    type: `${category}.fake`,
    version: 'v1',
    metadata: {},
    capabilities: [],
    instance: { init: async () => {}, close: async () => {}, ...instance } as unknown as CategoryInstances[C],
    ...more,
  };
}

export function sourceOf(...components: readonly LoadedComponent[]): ComponentSource {
  return {
    get: (category, name) =>
      components.find((one) => one.category === category && one.name === name) as never,
    list: (category) => components.filter((one) => one.category === category) as never,
    onChange: () => () => {},
  };
}

export const noPolicy: Policy = {
  active: false,
  retries: false,
  run: (attempt, { signal }) => attempt(signal, 1),
};

/** Tries again until an attempt is fine, `attempts` times at most. */
export function retrying(attempts: number): Policy {
  return {
    active: true,
    retries: true,
    run: async (attempt, { signal, failed }) => {
      for (let number = 1; ; number += 1) {
        try {
          const value = await attempt(signal, number);
          if (number === attempts || failed?.(value) === undefined) return value;
        } catch (error) {
          if (number === attempts) throw error;
        }
      }
    },
  };
}

/** Refuses without trying, as an open breaker does. */
export function refusing(error: Error): Policy {
  return { active: true, retries: false, run: () => Promise.reject(error) };
}

export function spanOf(context: TraceContext = {}): Span {
  const span: Span = { context, child: () => span, setAttribute: () => {}, end: () => {} };
  return span;
}

export interface BlockRig {
  readonly appId: string;
  readonly namespace: string;
  readonly components: ComponentSource;
  readonly policies: Policies;
  readonly metrics: {
    count(name: string, labels: Readonly<Record<string, string>>): void;
    observe(): void;
    gauge(): void;
  };
  /** Lines `name component operation success`. */
  readonly counted: string[];
  readonly clock: FakeClock;
  readonly ids: ReturnType<typeof countingIds>;
  readonly log: RecordingLogger;
  readonly call: CallContext;
}

export function blockRig(
  components: readonly LoadedComponent[],
  policy: Policy = noPolicy,
  call: Partial<CallContext> = {},
): BlockRig {
  const log = recordingLogger();
  const counted: string[] = [];
  const pick = (): Policy => policy;
  return {
    appId: 'app',
    namespace: '',
    components: sourceOf(...components),
    policies: {
      app: pick,
      actor: pick,
      componentOutbound: pick,
      componentInbound: pick,
      builtIn: pick,
      hasAppPolicy: () => false,
    },
    metrics: {
      count: (name, { component, operation, success }) =>
        void counted.push(
          [name, component, operation, success].filter((part) => part !== undefined).join(' '),
        ),
      observe: () => {},
      gauge: () => {},
    },
    counted,
    clock: fakeClock(),
    ids: countingIds(),
    log,
    call: { signal: new AbortController().signal, protocol: 'http', span: spanOf(), log, ...call },
  };
}

/** The `RuntimeError` that `run` rejects with, as a client would see it. */
export async function refusal(run: Promise<unknown> | (() => unknown)): Promise<{
  key: string;
  status: number;
  grpc: number;
  code: string;
  message: string;
  error: RuntimeError;
}> {
  try {
    await (typeof run === 'function' ? run() : run);
  } catch (error) {
    if (!(error instanceof RuntimeError)) throw error;
    return {
      key: error.key,
      status: error.httpStatus,
      grpc: error.grpcCode,
      code: error.errorCode,
      message: error.message,
      error,
    };
  }
  throw new Error('nothing was refused');
}

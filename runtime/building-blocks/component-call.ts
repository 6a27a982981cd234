/** One call to a component under its resiliency policy, measured under Dapr's metric names. */

import type { CallContext } from '../contracts/call-context.ts';
import type { Clock } from '../contracts/clock.ts';
import type { Metrics } from '../contracts/metrics.ts';
import type { ComponentKind, Policies } from '../contracts/resiliency.ts';

export interface ComponentCallDeps {
  readonly namespace: string;
  readonly policies: Policies;
  readonly metrics: Metrics;
  readonly clock: Clock;
}

const METRIC_NAME: Readonly<Record<ComponentKind, string>> = {
  Statestore: 'state',
  Pubsub: 'pubsub',
  Binding: 'output_binding',
  Secretstore: 'secret',
  Configuration: 'configuration',
  Lock: 'lock',
  Crypto: 'crypto',
  Conversation: 'conversation',
};

/** Runs `attempt` under the outbound policy of component `name`; `operation` is the metric label. */
export async function callComponent<T>(
  deps: ComponentCallDeps,
  kind: ComponentKind,
  name: string,
  operation: string,
  call: Pick<CallContext, 'signal'>,
  attempt: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const policy = deps.policies.componentOutbound(name, kind);
  const started = deps.clock.monotonicMs();
  let success: 'true' | 'false' = 'false';
  try {
    const result = await (policy.active
      ? policy.run(attempt, { signal: call.signal })
      : attempt(call.signal));
    // An error that is handed back as an answer, because it is no reason to try again, is a failure all the same.
    if (!(result instanceof Error)) success = 'true';
    return result;
  } finally {
    measure(deps, kind, { name, operation, success }, deps.clock.monotonicMs() - started);
  }
}

/** Counts a call that was refused before a component got it. */
export function countRefusal(
  deps: ComponentCallDeps,
  kind: ComponentKind,
  name: string,
  operation: string,
): void {
  measure(deps, kind, { name, operation, success: 'false' }, 0);
}

function measure(
  { metrics, namespace }: ComponentCallDeps,
  kind: ComponentKind,
  call: { readonly name: string; readonly operation: string; readonly success: 'true' | 'false' },
  ms: number,
): void {
  const labels = { component: call.name, namespace, operation: call.operation, success: call.success };
  metrics.count(`component_${METRIC_NAME[kind]}_count`, labels);
  metrics.observe(`component_${METRIC_NAME[kind]}_latencies`, labels, ms);
}

/** Metrics and log lines of a running policy, under Dapr's names (HTTP reference, section 23). */

import { errorText } from '../contracts/error.ts';
import type { Logger } from '../contracts/logger.ts';
import type { Labels, Metrics } from '../contracts/metrics.ts';
import type { BreakerState, CircuitBreaker } from './circuit-breaker.ts';
import type { PolicyObserver } from './policy.ts';

export interface ObservedTarget {
  /** For people: `component ps inbound`. */
  readonly label: string;
  /** `target` label: `app_<id>`, `actor_<type>`, `<kind>_<component>`. */
  readonly metric: string;
  readonly flow: 'inbound' | 'outbound';
}

export interface ObserverDeps {
  readonly metrics: Metrics;
  readonly log: Logger;
  /** Name of the Resiliency resource and its namespace, as labels. */
  readonly resource: string;
  readonly namespace: string;
}

const BREAKER_STATES: readonly (BreakerState | 'unknown')[] = ['closed', 'half-open', 'open', 'unknown'];

/** Observes a policy that has the given parts. */
export function observePolicy(
  deps: ObserverDeps,
  target: ObservedTarget,
  parts: { readonly timeout: boolean; readonly retry: boolean; readonly breaker: CircuitBreaker | undefined },
): PolicyObserver {
  const { metrics } = deps;
  const labels = (policy: string, status = ''): Labels => ({
    name: deps.resource,
    policy,
    namespace: deps.namespace,
    flow_direction: target.flow,
    target: target.metric,
    status,
  });
  const timeout = labels('timeout');
  const retry = labels('retry');
  const count = (name: string, breaker: CircuitBreaker): void => {
    const state = breaker.state;
    metrics.count(name, labels('circuitbreaker', state));
    for (const each of BREAKER_STATES) {
      metrics.gauge('resiliency_cb_state', labels('circuitbreaker', each), each === state ? 1 : 0);
    }
  };
  return {
    executed: () => {
      if (parts.timeout) metrics.count('resiliency_count', timeout);
      if (parts.retry) metrics.count('resiliency_count', retry);
      if (parts.breaker !== undefined) count('resiliency_count', parts.breaker);
    },
    timedOut: () => metrics.count('resiliency_activations_total', timeout),
    retrying: (error, waitMs) => {
      metrics.count('resiliency_activations_total', retry);
      logRetry(deps.log, target.label, error, waitMs);
    },
    breakerChanged: () => {
      if (parts.breaker !== undefined) count('resiliency_activations_total', parts.breaker);
    },
  };
}

/** Observes a policy that has no metrics of its own (the built-in retries): log lines only. */
export function observeBuiltIn(log: Logger, name: string): PolicyObserver {
  const nothing = (): void => {};
  const retrying = (error: unknown, waitMs: number): void => logRetry(log, name, error, waitMs);
  return { executed: nothing, timedOut: nothing, breakerChanged: nothing, retrying };
}

function logRetry(log: Logger, target: string, error: unknown, waitMs: number): void {
  log.warn(`Error processing operation ${target}. Retrying in ${Math.round(waitMs)}ms…`);
  if (error !== undefined) log.debug(`Error for operation ${target} was: ${errorText(error)}`);
}

/**
 * All Resiliency resources of one app, merged, as the policies that blocks ask for. A target's own entry decides alone;
 * only a target without an entry gets the default policies. Circuit breakers live as long as the process: one per app
 * address, per actor type or id, per component and direction.
 */

import type { Clock } from '../contracts/clock.ts';
import type { Random } from '../contracts/random.ts';
import type { ComponentKind, Policies, Policy } from '../contracts/resiliency.ts';
import { type BoundedCache, boundedCache } from './bounded-cache.ts';
import { type CircuitBreaker, createCircuitBreaker } from './circuit-breaker.ts';
import { componentLevels, defaultPolicyNames, type PolicyKind } from './default-names.ts';
import { type MergedResources, type MergeOptions, mergeResources } from './merge-resources.ts';
import { createPolicy } from './policy.ts';
import { type ObservedTarget, observeBuiltIn, observePolicy } from './policy-metrics.ts';
import type { PolicyNames } from './resiliency-schema.ts';

export interface PoliciesOptions extends MergeOptions {
  readonly clock: Clock;
  readonly random: Random;
}

const MAX_TARGETS = 5000;
const DEFAULT_INSTANCES = 100;

/** Compiles `resources`; one that is invalid is logged and skipped. `names` are those in force. */
export function createPolicies(options: PoliciesOptions): Policies & { names(): readonly string[] } {
  const merged = mergeResources(options);
  const components = boundedCache<Policy>(MAX_TARGETS);
  const builtIns = boundedCache<Policy>(MAX_TARGETS);
  const apps = boundedCache<BoundedCache<Policy>>(MAX_TARGETS);
  const actors = boundedCache<BoundedCache<Policy>>(MAX_TARGETS);
  const build = policyBuilder(options, merged);
  const defaults = (levels: readonly string[]): PolicyNames => ({
    retry: firstDefined(merged.retries, levels, 'RetryPolicy'),
    timeout: firstDefined(merged.timeouts, levels, 'TimeoutPolicy'),
    circuitBreaker: firstDefined(merged.circuitBreakers, levels, 'CircuitBreakerPolicy'),
  });
  const component = (name: string, kind: ComponentKind, direction: 'Inbound' | 'Outbound'): Policy =>
    components.get(`${direction}|${kind}|${name}`, () => {
      const own = lookUp(merged.components, name);
      const flow = direction === 'Inbound' ? 'inbound' : 'outbound';
      const names = own === undefined ? defaults(componentLevels(kind, direction)) : own[flow];
      return build({ label: `component[${name}] ${flow}`, metric: `${kind}_${name}`, flow }, names, name);
    });

  return {
    app: (appId, instance = '') => {
      const own = lookUp(merged.apps, appId);
      const size = own?.circuitBreakerCacheSize ?? DEFAULT_INSTANCES;
      const target: ObservedTarget = { label: `app[${appId}]`, metric: `app_${appId}`, flow: 'outbound' };
      return apps
        .get(appId, () => boundedCache<Policy>(size))
        .get(instance, () => build(target, own ?? defaults(['App']), instance || appId));
    },
    actor: (actorType, actorId) => {
      const own = lookUp(merged.actors, actorType);
      const perId = own?.circuitBreakerScope === 'id' || own?.circuitBreakerScope === 'both';
      const key = perId ? `${actorType}-${actorId}` : actorType;
      const size = own?.circuitBreakerCacheSize ?? DEFAULT_INSTANCES;
      const target: ObservedTarget = {
        label: `actor[${key}]`,
        metric: `actor_${actorType}`,
        flow: 'outbound',
      };
      return actors
        .get(actorType, () => boundedCache<Policy>(size))
        .get(key, () => build(target, own ?? defaults(['Actor']), key));
    },
    componentOutbound: (name, kind) => component(name, kind, 'Outbound'),
    componentInbound: (name, kind) => component(name, kind, 'Inbound'),
    builtIn: (name) =>
      builtIns.get(name, () => {
        const retry = lookUp(merged.retries, name);
        const parts = { timeoutMs: 0, ...(retry === undefined ? {} : { retry }) };
        return createPolicy(parts, options.clock, options.random, observeBuiltIn(options.log, name));
      }),
    hasAppPolicy: (appId) => {
      if (lookUp(merged.apps, appId) !== undefined) return true;
      const names = defaults(['App']);
      return [names.retry, names.timeout, names.circuitBreaker].some((name) => name !== undefined);
    },
    names: () => merged.names,
  };
}

/** Makes the policy of one target out of the names it uses; a name that is not defined is left out with a warning. */
function policyBuilder(
  options: PoliciesOptions,
  merged: MergedResources,
): (target: ObservedTarget, names: PolicyNames, instance: string) => Policy {
  const { clock, random, log } = options;
  const observerDeps = { ...options, resource: merged.names.at(-1) ?? '', namespace: merged.namespace };
  return (target, names, instance) => {
    const find = <T>(table: Readonly<Record<string, T>>, name: string | undefined): T | undefined => {
      if (name === undefined || name === '') return undefined;
      const found = lookUp(table, name);
      if (found === undefined) log.warn(`${target.label} names the unknown resiliency policy '${name}'`);
      return found;
    };
    const timeoutMs = find(merged.timeouts, names.timeout) ?? 0;
    const retry = find(merged.retries, names.retry);
    const settings = find(merged.circuitBreakers, names.circuitBreaker);
    let breaker: CircuitBreaker | undefined;
    if (settings !== undefined) {
      const title = `${names.circuitBreaker}-${instance}`;
      breaker = createCircuitBreaker(settings, clock, (from, to) =>
        log.info(`Circuit breaker "${title}" changed state from ${from} to ${to}`),
      );
    }
    const parts = {
      timeoutMs,
      ...(retry === undefined ? {} : { retry }),
      ...(breaker === undefined ? {} : { breaker }),
    };
    const has = { timeout: timeoutMs > 0, retry: retry !== undefined, breaker };
    return createPolicy(parts, clock, random, observePolicy(observerDeps, target, has));
  };
}

function lookUp<T>(table: Readonly<Record<string, T>>, name: string): T | undefined {
  return Object.hasOwn(table, name) ? table[name] : undefined;
}

function firstDefined(
  table: Readonly<Record<string, unknown>>,
  levels: readonly string[],
  kind: PolicyKind,
): string | undefined {
  return defaultPolicyNames(levels, kind).find((name) => Object.hasOwn(table, name));
}

/** All Resiliency resources in scope as one set of policies and targets; later documents win by name. */

import { errorText } from '../contracts/error.ts';
import type { Logger } from '../contracts/logger.ts';
import type { Metrics } from '../contracts/metrics.ts';
import type { ResiliencyResource } from '../contracts/resource.ts';
import { BUILT_IN_RETRIES, MIN_BUILT_IN_RETRIES, PROTECTED_RETRIES } from './default-names.ts';
import { decodeResiliencySpec, type ResiliencySpec } from './resiliency-schema.ts';
import type { RetryPolicy } from './retry.ts';

export interface MergedResources extends ResiliencySpec {
  /** Names of the resources in force, in load order. */
  readonly names: readonly string[];
  /** Namespace written in the last of them, as it stands in labels. */
  readonly namespace: string;
}

export interface MergeOptions {
  readonly resources: readonly ResiliencyResource[];
  readonly appId: string;
  readonly metrics: Metrics;
  readonly log: Logger;
}

/** Merges what is valid and meant for this app; an invalid resource is logged and leaves no trace. */
export function mergeResources(options: MergeOptions): MergedResources {
  const names: string[] = [];
  const specs: ResiliencySpec[] = [];
  let namespace = '';
  for (const resource of options.resources) {
    if (resource.scopes.length > 0 && !resource.scopes.includes(options.appId)) continue;
    options.log.info(`Loading Resiliency configuration: ${resource.name}`);
    try {
      specs.push(decodeResiliencySpec(resource.spec));
    } catch (error) {
      const where = `${resource.origin.file} document ${resource.origin.document}`;
      options.log.error(`Could not read resiliency policy ${resource.name} (${where}): ${errorText(error)}`);
      continue;
    }
    names.push(resource.name);
    namespace = resource.namespace;
    options.metrics.count('resiliency_loaded', { name: resource.name, namespace });
  }
  const join = <K extends keyof ResiliencySpec>(key: K): ResiliencySpec[K] =>
    Object.assign(Object.create(null), ...specs.map((spec) => spec[key]));
  const retries: Record<string, RetryPolicy> = { ...BUILT_IN_RETRIES };
  for (const [name, policy] of Object.entries(join('retries')))
    retries[name] = redefine(name, policy, options.log);
  return {
    names,
    namespace,
    retries,
    timeouts: join('timeouts'),
    circuitBreakers: join('circuitBreakers'),
    apps: join('apps'),
    actors: join('actors'),
    components: join('components'),
  };
}

function redefine(name: string, policy: RetryPolicy, log: Logger): RetryPolicy {
  const builtIn = BUILT_IN_RETRIES[name];
  if (builtIn === undefined) return policy;
  if (name === PROTECTED_RETRIES) {
    log.warn(`Attempted to override protected policy ${name} which is not allowed. Using the default.`);
    return builtIn;
  }
  if (policy.maxRetries >= MIN_BUILT_IN_RETRIES) return policy;
  log.warn(
    `Attempted override of ${name} did not meet minimum retry count, resetting to ${MIN_BUILT_IN_RETRIES}.`,
  );
  return { ...policy, maxRetries: MIN_BUILT_IN_RETRIES };
}

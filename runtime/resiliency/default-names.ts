/** Names of policies that apply without being named by a target, and the built-in ones (reference, section 7). */

import type { ComponentKind } from '../contracts/resiliency.ts';
import { DEFAULT_RETRY } from './resiliency-schema.ts';
import type { RetryPolicy } from './retry.ts';

export type PolicyKind = 'RetryPolicy' | 'TimeoutPolicy' | 'CircuitBreakerPolicy';

/** `Default...` names for a target, the most specific first. */
export function defaultPolicyNames(levels: readonly string[], kind: PolicyKind): readonly string[] {
  return [...levels, ''].map((level) => `Default${level}${kind}`);
}

/** The levels of a component target, the most specific first. */
export function componentLevels(kind: ComponentKind, direction: 'Inbound' | 'Outbound'): readonly string[] {
  return [`${kind}Component${direction}`, `Component${direction}`, 'Component'];
}

const thrice: RetryPolicy = { ...DEFAULT_RETRY, durationMs: 1000, maxRetries: 3 };

/** Retries the runtime makes on its own. All but the protected one can be redefined under the same name. */
export const BUILT_IN_RETRIES: Readonly<Record<string, RetryPolicy>> = {
  DaprBuiltInServiceRetries: thrice,
  DaprBuiltInActorRetries: thrice,
  DaprBuiltInActorReminderRetries: { ...DEFAULT_RETRY, policy: 'exponential' },
  DaprBuiltInInitializationRetries: {
    ...DEFAULT_RETRY,
    policy: 'exponential',
    maxIntervalMs: 1000,
    maxRetries: 3,
    maxElapsedMs: 10_000,
  },
  DaprBuiltInActorNotFoundRetries: { ...thrice, maxRetries: 5 },
};

export const PROTECTED_RETRIES = 'DaprBuiltInActorNotFoundRetries';
export const MIN_BUILT_IN_RETRIES = 3;

/**
 * The `spec` of a Resiliency resource, decoded into policies and targets (command line and resources reference,
 * section 7). Either all of a resource is usable or it is refused with an error that names the member at fault.
 */

import { z } from 'zod';
import { parseMetadataDuration } from '../contracts/duration.ts';
import { foldMembers } from '../contracts/fold-members.ts';
import type { BreakerSettings } from './circuit-breaker.ts';
import { parseCodeList, type RetryPolicy } from './retry.ts';
import { compileTrip } from './trip-expression.ts';

/** Names of the policies of one target; empty or absent: none. */
export interface PolicyNames {
  readonly timeout?: string | undefined;
  readonly retry?: string | undefined;
  readonly circuitBreaker?: string | undefined;
}

export interface AppTarget extends PolicyNames {
  readonly circuitBreakerCacheSize: number;
}

export interface ActorTarget extends AppTarget {
  readonly circuitBreakerScope: 'type' | 'id' | 'both' | '';
}

export interface ComponentTarget {
  readonly inbound: PolicyNames;
  readonly outbound: PolicyNames;
}

export interface ResiliencySpec {
  readonly timeouts: Readonly<Record<string, number>>;
  readonly retries: Readonly<Record<string, RetryPolicy>>;
  readonly circuitBreakers: Readonly<Record<string, BreakerSettings>>;
  readonly apps: Readonly<Record<string, AppTarget>>;
  readonly actors: Readonly<Record<string, ActorTarget>>;
  readonly components: Readonly<Record<string, ComponentTarget>>;
}

export const DEFAULT_RETRY: RetryPolicy = {
  policy: 'constant',
  durationMs: 5000,
  maxIntervalMs: 60_000,
  maxRetries: -1,
  maxElapsedMs: 15 * 60_000,
};
const DEFAULT_BREAKER_TIMEOUT_MS = 60_000;
const DEFAULT_TRIP = 'consecutiveFailures > 5';
const APP_CACHE_SIZE = 100;
const ACTOR_CACHE_SIZE = 5000;

const textOrNumber = z.union([z.string(), z.number()]).transform(String);
const duration = textOrNumber.transform((text, context) => {
  const ms = parseMetadataDuration(text.trim(), 1);
  if (ms === undefined || ms < 0) {
    context.addIssue({
      code: 'custom',
      message: `expected a duration such as 5s or integer milliseconds, got '${text}'`,
    });
    return z.NEVER;
  }
  return ms;
});
const integer = (min: number): z.ZodType<number> =>
  textOrNumber.transform((text, context) => {
    const value = Number(text);
    if (text.trim() !== '' && Number.isInteger(value) && value >= min) return value;
    context.addIssue({ code: 'custom', message: `expected an integer of at least ${min}, got '${text}'` });
    return z.NEVER;
  });
const codeList = (min: number, max: number) =>
  textOrNumber.transform((text, context) => {
    try {
      return parseCodeList(text, min, max);
    } catch (error) {
      context.addIssue({ code: 'custom', message: (error as Error).message });
      return z.NEVER;
    }
  });
const trip = z
  .string()
  .default(DEFAULT_TRIP)
  .transform((text, context) => {
    try {
      return compileTrip(text.trim() === '' ? DEFAULT_TRIP : text);
    } catch (error) {
      context.addIssue({ code: 'custom', message: (error as Error).message });
      return z.NEVER;
    }
  });

const retry = z
  .object({
    policy: z
      .string()
      .optional()
      .transform((text, context) => {
        const policy = (text ?? 'constant').toLowerCase();
        if (policy === 'constant' || policy === '') return 'constant' as const;
        if (policy === 'exponential') return 'exponential' as const;
        context.addIssue({ code: 'custom', message: `expected constant or exponential, got '${text}'` });
        return z.NEVER;
      }),
    duration: duration.optional(),
    maxInterval: duration.optional(),
    maxRetries: integer(-1).optional(),
    matching: z
      .object({ httpStatusCodes: codeList(100, 599).optional(), gRPCStatusCodes: codeList(0, 16).optional() })
      .nullish(),
  })
  .transform((value): RetryPolicy => {
    const http = value.matching?.httpStatusCodes;
    const grpc = value.matching?.gRPCStatusCodes;
    return {
      policy: value.policy,
      durationMs: value.duration ?? DEFAULT_RETRY.durationMs,
      maxIntervalMs: value.maxInterval ?? DEFAULT_RETRY.maxIntervalMs,
      maxRetries: value.maxRetries ?? DEFAULT_RETRY.maxRetries,
      maxElapsedMs: DEFAULT_RETRY.maxElapsedMs,
      ...(http === undefined ? {} : { httpStatusCodes: http }),
      ...(grpc === undefined ? {} : { grpcStatusCodes: grpc }),
    };
  });

const breaker = z
  .object({
    maxRequests: integer(0).optional(),
    interval: duration.optional(),
    timeout: duration.optional(),
    trip,
  })
  .transform(
    (value): BreakerSettings => ({
      maxRequests: value.maxRequests || 1,
      intervalMs: value.interval ?? 0,
      timeoutMs: value.timeout || DEFAULT_BREAKER_TIMEOUT_MS,
      trip: value.trip,
    }),
  );

const names = { timeout: z.string(), retry: z.string(), circuitBreaker: z.string() };
const policyNames = z.object(names).partial();
const cacheSize = (fallback: number) =>
  integer(0)
    .optional()
    .transform((size) => size || fallback);
const app = policyNames.extend({ circuitBreakerCacheSize: cacheSize(APP_CACHE_SIZE) });
const actor = policyNames
  .extend({
    circuitBreakerCacheSize: cacheSize(ACTOR_CACHE_SIZE),
    circuitBreakerScope: z.enum(['type', 'id', 'both', '']).default(''),
  })
  .refine((target) => !target.circuitBreaker || target.circuitBreakerScope !== '', {
    message: 'actor circuit breakers must include scope',
    path: ['circuitBreakerScope'],
  });
const component = z.object({
  inbound: policyNames.nullish().transform((value) => value ?? {}),
  outbound: policyNames.nullish().transform((value) => value ?? {}),
});

const table = <T extends z.ZodType>(value: T) =>
  z
    .record(z.string(), value)
    .nullish()
    .transform((entries): Record<string, z.output<T>> => entries ?? {});

const schema = z.object({
  policies: z
    .object({ timeouts: table(duration), retries: table(retry), circuitBreakers: table(breaker) })
    .nullish(),
  targets: z.object({ apps: table(app), actors: table(actor), components: table(component) }).nullish(),
});

/** Decodes a spec; throws one error that lists every fault with its path. */
export function decodeResiliencySpec(spec: unknown): ResiliencySpec {
  const parsed = schema.safeParse(foldMembers(schema, spec));
  if (!parsed.success) {
    throw new Error(
      parsed.error.issues.map((issue) => `spec.${issue.path.join('.')}: ${issue.message}`).join('; '),
    );
  }
  const { policies, targets } = parsed.data;
  return {
    timeouts: policies?.timeouts ?? {},
    retries: policies?.retries ?? {},
    circuitBreakers: policies?.circuitBreakers ?? {},
    apps: targets?.apps ?? {},
    actors: targets?.actors ?? {},
    components: targets?.components ?? {},
  };
}

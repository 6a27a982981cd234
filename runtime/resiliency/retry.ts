/** Retry policies: the waits between attempts and the lists of statuses that are worth another attempt. */

import type { Clock } from '../contracts/clock.ts';
import type { Random } from '../contracts/random.ts';
import type { StatusCarrier } from '../contracts/resiliency.ts';

export interface RetryPolicy {
  readonly policy: 'constant' | 'exponential';
  /** Wait of a constant policy. */
  readonly durationMs: number;
  /** Largest wait of an exponential policy. */
  readonly maxIntervalMs: number;
  /** Retries after the first attempt; -1: no limit. */
  readonly maxRetries: number;
  /** An exponential policy gives up when this much time has passed; 0: never. */
  readonly maxElapsedMs: number;
  readonly httpStatusCodes?: readonly CodeRange[];
  readonly grpcStatusCodes?: readonly CodeRange[];
}

export interface CodeRange {
  readonly first: number;
  readonly last: number;
}

const INITIAL_INTERVAL_MS = 500;
const FACTOR = 1.5;
const JITTER = 0.5;

/** The waits of one run: each call gives the next one in ms, `undefined` when the policy gives up. */
export function retrySchedule(policy: RetryPolicy, clock: Clock, random: Random): () => number | undefined {
  const started = clock.monotonicMs();
  let retries = 0;
  let interval = Math.min(INITIAL_INTERVAL_MS, policy.maxIntervalMs);
  return () => {
    if (policy.maxRetries >= 0 && retries >= policy.maxRetries) return undefined;
    retries += 1;
    if (policy.policy === 'constant') return policy.durationMs;
    const wait = interval * (1 - JITTER + random.float() * 2 * JITTER);
    interval = Math.min(interval * FACTOR, policy.maxIntervalMs);
    if (policy.maxElapsedMs > 0 && clock.monotonicMs() - started + wait > policy.maxElapsedMs)
      return undefined;
    return wait;
  };
}

/** Whether a failure of this status is retried: no list or no status means yes. */
export function retriesStatus(policy: RetryPolicy, status: StatusCarrier | undefined): boolean {
  if (status?.httpStatus !== undefined) return listed(policy.httpStatusCodes, status.httpStatus);
  if (status?.grpcCode !== undefined) return listed(policy.grpcStatusCodes, status.grpcCode);
  return true;
}

function listed(ranges: readonly CodeRange[] | undefined, code: number): boolean {
  return ranges === undefined || ranges.some(({ first, last }) => first <= code && code <= last);
}

/** Ranges of a `matching` list such as `429,500-599`; throws an error that names the part at fault. */
export function parseCodeList(text: string, min: number, max: number): readonly CodeRange[] | undefined {
  const parts = text.split(',').filter((part) => part !== '');
  if (parts.length === 0) return undefined;
  return parts.map((part) => {
    const match = /^\s*(\d+)\s*(?:-\s*(\d+)\s*)?$/.exec(part);
    const first = Number(match?.[1] ?? Number.NaN);
    const last = match?.[2] === undefined ? first : Number(match[2]);
    if (!(first >= min && last <= max && first <= last)) {
      throw new Error(`invalid status codes '${part}'; expected a code or range from ${min} to ${max}`);
    }
    return { first, last };
  });
}

/**
 * One target's policy: retry(breaker(timeout(call))). A call that the breaker refused, that failed for good
 * (`PermanentError`) or whose caller gave up is never retried; of these only real failures count for the breaker.
 */

import type { Clock } from '../contracts/clock.ts';
import type { Random } from '../contracts/random.ts';
import {
  CircuitOpenError,
  PermanentError,
  type Policy,
  PolicyTimeoutError,
  type RunOptions,
  type StatusCarrier,
} from '../contracts/resiliency.ts';
import type { BreakerOutcome, CircuitBreaker } from './circuit-breaker.ts';
import { type RetryPolicy, retriesStatus, retrySchedule } from './retry.ts';

export interface PolicyParts {
  /** 0: no timeout. */
  readonly timeoutMs: number;
  readonly retry?: RetryPolicy;
  readonly breaker?: CircuitBreaker;
}

/** What happened while a policy ran, for metrics and log lines. */
export interface PolicyObserver {
  executed(): void;
  timedOut(): void;
  retrying(error: unknown, waitMs: number): void;
  breakerChanged(): void;
}

/** The policy of targets without one. */
export const NO_POLICY: Policy = {
  active: false,
  retries: false,
  run: (attempt, options) => attempt(options.signal, 1),
};

type Attempt<T> = (signal: AbortSignal, attemptNumber: number) => Promise<T>;

/** Makes a policy of `parts`; without any part it is `NO_POLICY`. */
export function createPolicy(
  parts: PolicyParts,
  clock: Clock,
  random: Random,
  observer: PolicyObserver,
): Policy {
  const { timeoutMs, retry, breaker } = parts;
  if (timeoutMs <= 0 && retry === undefined && breaker === undefined) return NO_POLICY;

  const once = async <T>(attempt: Attempt<T>, count: number, options: RunOptions<T>): Promise<Settled<T>> => {
    let report: ((outcome: BreakerOutcome) => void) | undefined;
    const before = breaker?.state;
    let settled: Settled<T>;
    try {
      report = breaker?.enter();
      const { signal } = options;
      const value = await (timeoutMs > 0
        ? withTimeout((inner) => attempt(inner, count), timeoutMs, signal, clock)
        : attempt(signal, count));
      const failure = options.failed?.(value);
      settled = failure === undefined ? { ok: true, value } : { ok: false, value, status: failure };
    } catch (error) {
      settled = { ok: false, error, status: options.status?.(error) };
    }
    if (report !== undefined) report(breakerOutcome(settled, options.signal));
    if (before !== breaker?.state) observer.breakerChanged();
    return settled;
  };

  /** Told once a run, as Dapr does, however many attempts follow. */
  const told = (failure: Failure<unknown>, wait: number | undefined): number | undefined => {
    if (wait !== undefined) observer.retrying(errorOf(failure), wait);
    return wait;
  };

  /** Starts a run: gives the wait before the next attempt, or `undefined` when this failure is final. */
  const repeater = (
    options: Pick<RunOptions<unknown>, 'signal' | 'replayable'>,
  ): ((failure: Failure<unknown>) => number | undefined) => {
    let next: (() => number | undefined) | undefined;
    let timedOut = false;
    return (failure) => {
      if (!timedOut && errorOf(failure) instanceof PolicyTimeoutError) {
        timedOut = true;
        observer.timedOut();
      }
      if (retry === undefined || options.replayable === false) return undefined;
      if (!mayRepeat(failure, retry, options.signal)) return undefined;
      if (next !== undefined) return next();
      next = retrySchedule(retry, clock, random);
      return told(failure, next());
    };
  };

  return {
    active: true,
    retries: retry !== undefined && retry.maxRetries !== 0,
    run: async (attempt, options) => {
      observer.executed();
      const waitAfter = repeater(options);
      for (let count = 1; ; count += 1) {
        const settled = await once(attempt, count, options);
        if (settled.ok) return settled.value;
        const wait = waitAfter(settled);
        if (wait === undefined) {
          if ('error' in settled) throw settled.error;
          return settled.value;
        }
        await clock.sleep(wait, options.signal);
      }
    },
  };
}

type Failure<T> =
  | { readonly ok: false; readonly value: T; readonly status: StatusCarrier | undefined }
  | { readonly ok: false; readonly error: unknown; readonly status: StatusCarrier | undefined };
const errorOf = (failure: Failure<unknown>): unknown => ('error' in failure ? failure.error : undefined);
type Settled<T> = { readonly ok: true; readonly value: T } | Failure<T>;

function breakerOutcome(settled: Settled<unknown>, signal: AbortSignal): BreakerOutcome {
  if (settled.ok) return 'success';
  if (!('error' in settled)) return 'failure';
  // The target answered; that the request was wrong is no reason to keep others away from it.
  if (settled.error instanceof PermanentError) return 'success';
  return signal.aborted ? 'neutral' : 'failure';
}

function mayRepeat(settled: Settled<unknown>, retry: RetryPolicy, signal: AbortSignal): boolean {
  if (settled.ok || signal.aborted) return false;
  if (
    'error' in settled &&
    (settled.error instanceof PermanentError || settled.error instanceof CircuitOpenError)
  ) {
    return false;
  }
  return retriesStatus(retry, settled.status);
}

/**
 * Runs `attempt` with a signal that joins the caller's and the timeout. Settles at the timeout even when `attempt`
 * ignores its signal; what it gives later is dropped.
 */
function withTimeout<T>(
  attempt: (signal: AbortSignal) => Promise<T>,
  timeoutMs: number,
  signal: AbortSignal,
  clock: Clock,
): Promise<T> {
  const controller = new AbortController();
  return new Promise<T>((resolve, reject) => {
    const release = (): void => {
      timer.cancel();
      signal.removeEventListener('abort', onAbort);
    };
    const give = (reason: unknown): void => {
      release();
      reject(reason);
      controller.abort(reason);
    };
    const onAbort = (): void => give(signal.reason);
    const timer = clock.startTimer(timeoutMs, () => give(new PolicyTimeoutError()));
    if (signal.aborted) give(signal.reason);
    else signal.addEventListener('abort', onAbort, { once: true });
    const run = async (): Promise<T> => attempt(controller.signal);
    run().then(resolve, reject).finally(release);
  });
}

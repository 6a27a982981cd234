/**
 * A circuit breaker with the semantics Dapr documents: closed (counting), open (refusing for `timeoutMs`), half-open
 * (letting `maxRequests` calls through; all of them must succeed). Results that arrive after the state changed belong
 * to an older generation and are ignored.
 */

import type { Clock } from '../contracts/clock.ts';
import { CircuitOpenError } from '../contracts/resiliency.ts';
import type { BreakerCounts } from './trip-expression.ts';

export interface BreakerSettings {
  readonly maxRequests: number;
  /** Period after which a closed breaker forgets its counts; 0: never. */
  readonly intervalMs: number;
  readonly timeoutMs: number;
  readonly trip: (counts: BreakerCounts) => boolean;
}

export type BreakerState = 'closed' | 'open' | 'half-open';

/** `neutral`: the caller gave up, which says nothing about the target. */
export type BreakerOutcome = 'success' | 'failure' | 'neutral';

export interface CircuitBreaker {
  readonly state: BreakerState;
  /** Asks for permission; throws `CircuitOpenError`. The result must be reported exactly once. */
  enter(): (outcome: BreakerOutcome) => void;
}

type MutableCounts = { -readonly [K in keyof BreakerCounts]: BreakerCounts[K] };

function noCounts(): MutableCounts {
  return {
    requests: 0,
    totalSuccesses: 0,
    totalFailures: 0,
    consecutiveSuccesses: 0,
    consecutiveFailures: 0,
  };
}

/** Makes a closed breaker; `changed` is told about every transition. */
export function createCircuitBreaker(
  settings: BreakerSettings,
  clock: Clock,
  changed: (from: BreakerState, to: BreakerState) => void,
): CircuitBreaker {
  let state: BreakerState = 'closed';
  let generation = 0;
  let counts = noCounts();
  let expiresAt = Number.POSITIVE_INFINITY;

  const begin = (next: BreakerState): void => {
    generation += 1;
    counts = noCounts();
    const period = next === 'open' ? settings.timeoutMs : next === 'closed' ? settings.intervalMs : 0;
    expiresAt = period > 0 ? clock.monotonicMs() + period : Number.POSITIVE_INFINITY;
  };
  const become = (next: BreakerState): void => {
    if (state === next) return;
    const from = state;
    state = next;
    begin(next);
    changed(from, next);
  };
  const current = (): BreakerState => {
    if (expiresAt !== Number.POSITIVE_INFINITY && clock.monotonicMs() >= expiresAt) {
      if (state === 'open') become('half-open');
      else begin(state);
    }
    return state;
  };
  const succeed = (): void => {
    counts.totalSuccesses += 1;
    counts.consecutiveSuccesses += 1;
    counts.consecutiveFailures = 0;
    if (state === 'half-open' && counts.consecutiveSuccesses >= settings.maxRequests) become('closed');
  };
  const fail = (): void => {
    counts.totalFailures += 1;
    counts.consecutiveFailures += 1;
    counts.consecutiveSuccesses = 0;
    if (state === 'half-open' || (state === 'closed' && settings.trip(counts))) become('open');
  };

  begin('closed');
  return {
    get state() {
      return current();
    },
    enter: () => {
      if (current() === 'open') throw new CircuitOpenError('circuit breaker is open');
      if (state === 'half-open' && counts.requests >= settings.maxRequests) {
        throw new CircuitOpenError('too many requests');
      }
      counts.requests += 1;
      const mine = generation;
      return (outcome) => {
        current();
        if (mine !== generation) return;
        if (outcome === 'success') succeed();
        else if (outcome === 'failure') fail();
        else counts.requests -= 1;
      };
    },
  };
}

/**
 * Health of the app (HTTP reference, section 21). With probes it starts unhealthy, one success makes it healthy and
 * `threshold` failures in a row make it unhealthy again; without probes it is healthy once its port accepts.
 */

import type { AppHealth } from '../contracts/app-channel.ts';
import type { Clock, Timer } from '../contracts/clock.ts';
import { errorText } from '../contracts/error.ts';
import type { Logger } from '../contracts/logger.ts';

export interface AppHealthChecks {
  readonly path: string;
  readonly intervalMs: number;
  readonly timeoutMs: number;
  readonly threshold: number;
}

export interface AppHealthOptions {
  /** Absent: no probes. */
  readonly checks?: AppHealthChecks;
  /** One probe, as `AppChannel.probe`. */
  probe(path: string, signal: AbortSignal): Promise<boolean>;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface AppHealthWatch extends AppHealth {
  /** The app's port accepts: probes begin, or the app counts as healthy. */
  start(): void;
  close(): void;
}

/** Watches the health of one app. */
export function createAppHealth(options: AppHealthOptions): AppHealthWatch {
  const { checks, clock, log } = options;
  const listeners = new Set<(healthy: boolean) => void>();
  const closing = new AbortController();
  let healthy = false;
  let failures = 0;
  let timer: Timer | undefined;

  const change = (now: boolean, why: string): void => {
    healthy = now;
    if (now) log.info(`App entered healthy status${why}`);
    else log.warn(`App entered un-healthy status${why}`);
    for (const changed of [...listeners]) changed(now);
  };

  const probe = async (limits: AppHealthChecks): Promise<void> => {
    timer = clock.startTimer(limits.intervalMs, () => void probe(limits), true);
    const failure = await probeOnce(limits);
    if (closing.signal.aborted) return;
    if (failure === undefined) {
      failures = 0;
      if (!healthy) change(true, '');
      return;
    }
    failures += 1;
    log.debug('App health probe failed', { failures, reason: failure });
    if (healthy && failures >= limits.threshold) change(false, `: ${failure}`);
  };

  const probeOnce = async (limits: AppHealthChecks): Promise<string | undefined> => {
    const attempt = new AbortController();
    const limit = clock.startTimer(
      limits.timeoutMs,
      () => attempt.abort(new Error('the probe timed out')),
      true,
    );
    const stop = (): void => attempt.abort(closing.signal.reason);
    closing.signal.addEventListener('abort', stop, { once: true });
    try {
      return (await options.probe(limits.path, attempt.signal))
        ? undefined
        : 'the probe was answered with a failure';
    } catch (cause) {
      return errorText(cause);
    } finally {
      limit.cancel();
      closing.signal.removeEventListener('abort', stop);
    }
  };

  return {
    get healthy() {
      return healthy;
    },
    onChange(changed) {
      listeners.add(changed);
      return () => void listeners.delete(changed);
    },
    start() {
      if (closing.signal.aborted || timer !== undefined || healthy) return;
      if (checks === undefined) change(true, '');
      else void probe(checks);
    },
    close() {
      timer?.cancel();
      closing.abort(new Error('shutting down'));
      listeners.clear();
    },
  };
}

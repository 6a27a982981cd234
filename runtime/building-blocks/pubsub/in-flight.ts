/**
 * The deliveries of one subscription that are under way. Closing lets a call to the app finish (at most 30 s), ends the
 * wait before a further attempt, and accepts nothing new: what was not answered stays with the broker.
 */

import type { Clock } from '../../contracts/clock.ts';
import { SubscriptionClosingError } from '../../contracts/pubsub.ts';

export interface Flight {
  /** Aborts when the component gives up, or when closing finds the delivery waiting. */
  readonly signal: AbortSignal;
  /** Runs a call to the app; closing lets it finish. */
  attempt<T>(call: () => Promise<T>): Promise<T>;
}

export interface InFlight {
  readonly closing: boolean;
  /** Runs one delivery; rejects at once when closing. */
  run<T>(parent: AbortSignal, work: (flight: Flight) => Promise<T>): Promise<T>;
  /** Stops accepting and resolves when nothing is under way any more. */
  close(): Promise<void>;
}

const DRAIN_LIMIT_MS = 30_000;

interface Entry {
  readonly controller: AbortController;
  attempts: number;
  /** At least one call was made: what comes next could only be another try. */
  tried: boolean;
}

export function createInFlight(clock: Clock): InFlight {
  const entries = new Set<Entry>();
  let closed: Promise<void> | undefined;
  let drained: (() => void) | undefined;

  const run: InFlight['run'] = async (parent, work) => {
    if (closed !== undefined) throw new SubscriptionClosingError();
    const controller = new AbortController();
    const entry: Entry = { controller, attempts: 0, tried: false };
    const onAbort = (): void => controller.abort(parent.reason);
    if (parent.aborted) onAbort();
    else parent.addEventListener('abort', onAbort, { once: true });
    entries.add(entry);
    const attempt = async <T>(call: () => Promise<T>): Promise<T> => {
      entry.attempts += 1;
      entry.tried = true;
      try {
        return await call();
      } finally {
        entry.attempts -= 1;
        if (closed !== undefined && entry.attempts === 0) controller.abort(new SubscriptionClosingError());
      }
    };
    try {
      return await work({ signal: controller.signal, attempt });
    } finally {
      parent.removeEventListener('abort', onAbort);
      entries.delete(entry);
      if (entries.size === 0) drained?.();
    }
  };

  const drain = async (): Promise<void> => {
    for (const entry of entries) {
      if (entry.tried && entry.attempts === 0) entry.controller.abort(new SubscriptionClosingError());
    }
    if (entries.size === 0) return;
    await new Promise<void>((resolve) => {
      const timer = clock.startTimer(DRAIN_LIMIT_MS, () => {
        for (const entry of entries) entry.controller.abort(new SubscriptionClosingError());
        resolve();
      });
      drained = () => {
        timer.cancel();
        resolve();
      };
    });
  };

  return {
    get closing() {
      return closed !== undefined;
    },
    run,
    close: () => {
      if (closed === undefined) {
        // Set before draining starts: attempts that end meanwhile must see it.
        const { promise, resolve } = Promise.withResolvers<void>();
        closed = promise;
        drain().then(resolve, resolve);
      }
      return closed;
    },
  };
}

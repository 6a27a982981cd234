/**
 * `--app-max-concurrency`: calls beyond the limit wait in line, first come first served. A waiter whose caller went
 * away leaves the line; a line that grows past its bound refuses newcomers.
 */

export interface ConcurrencyLimit {
  /**
   * Takes a slot; the result gives it back (more than once is harmless). Without waiting it returns at once, so that an
   * unlimited or idle channel costs no promise.
   */
  acquire(signal: AbortSignal): (() => void) | Promise<() => void>;
}

const MAX_WAITING = 16_384;

interface Waiter {
  grant(): void;
}

/** A limit of `max` calls at a time; 0 or less means none. */
export function createConcurrencyLimit(max: number, maxWaiting = MAX_WAITING): ConcurrencyLimit | undefined {
  if (max <= 0) return undefined;
  let used = 0;
  const waiting = new Set<Waiter>();

  const slot = (): (() => void) => {
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      const [next] = waiting;
      if (next === undefined) {
        used -= 1;
      } else {
        waiting.delete(next);
        next.grant();
      }
    };
  };

  return {
    acquire(signal) {
      if (used < max) {
        used += 1;
        return slot();
      }
      if (waiting.size >= maxWaiting) return Promise.reject(new Error('the app has too many calls waiting'));
      return new Promise((resolve, reject) => {
        if (signal.aborted) {
          reject(signal.reason);
          return;
        }
        const waiter: Waiter = {
          grant: () => {
            signal.removeEventListener('abort', leave);
            resolve(slot());
          },
        };
        const leave = (): void => {
          waiting.delete(waiter);
          reject(signal.reason);
        };
        signal.addEventListener('abort', leave, { once: true });
        waiting.add(waiter);
      });
    },
  };
}

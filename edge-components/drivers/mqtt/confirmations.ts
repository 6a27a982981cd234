/** Waiting for what the broker confirms: each wait ends with its answer, the time limit, the caller's signal or the connection. */

import type { Clock } from '../../../runtime/contracts/clock.ts';

export interface ConfirmationsOptions {
  readonly clock: Clock;
  readonly timeoutMs: number;
  /** Added to the error of a wait that took too long: why, when it is known. */
  readonly cause: () => string;
}

/** The open waits of one connection. */
export class Confirmations {
  readonly #options: ConfirmationsOptions;
  readonly #open = new Set<(error: Error) => void>();

  constructor(options: ConfirmationsOptions) {
    this.#options = options;
  }

  /** Runs `act` and waits for its `done`. `givenUp` runs when something else ended the wait. */
  wait(
    what: string,
    signal: AbortSignal | undefined,
    act: (done: (error: Error | undefined) => void) => void,
    givenUp: () => void = () => {},
  ): Promise<void> {
    return new Promise((resolve, reject) => {
      let open = true;
      const finish = (error: unknown, late: boolean): void => {
        if (!open) return;
        open = false;
        timer.cancel();
        signal?.removeEventListener('abort', onAbort);
        this.#open.delete(onClosed);
        if (late) givenUp();
        if (error === undefined) resolve();
        else reject(error);
      };
      const onAbort = (): void => finish(signal?.reason, true);
      const onClosed = (error: Error): void => finish(error, true);
      const { clock, timeoutMs, cause } = this.#options;
      const timer = clock.startTimer(timeoutMs, () => {
        finish(new Error(`MQTT broker did not confirm ${what} within ${timeoutMs / 1000} s${cause()}`), true);
      });
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#open.add(onClosed);
      act((error) => finish(error, false));
    });
  }

  /** Ends every wait: there will be no answer. */
  close(error: Error): void {
    for (const end of [...this.#open]) end(error);
  }
}

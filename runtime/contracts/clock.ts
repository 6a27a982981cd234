/** Time, as everything outside `platform` sees it: tests replace it, nothing else reads a clock. */

/** A timer that can be cancelled; cancelling twice is harmless. */
export interface Timer {
  cancel(): void;
}

export interface Clock {
  /** Wall clock in milliseconds since 1970; may jump when the system clock is set. */
  now(): number;
  /** Elapsed milliseconds since an arbitrary start; never jumps. */
  monotonicMs(): number;
  /** Calls `run` once after `delayMs`. The timer does not keep the process alive when `background` is true. */
  startTimer(delayMs: number, run: () => void, background?: boolean): Timer;
  /** Resolves after `delayMs`; rejects with the signal's reason when it aborts first. */
  sleep(delayMs: number, signal?: AbortSignal): Promise<void>;
}

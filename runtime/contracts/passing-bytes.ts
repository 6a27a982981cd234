/**
 * Counts what streams carry through the process. Every chunk leaves a dead buffer of up to 64 kB behind, outside the heap
 * whose size V8 looks at: it waits for 64 MB of them before it collects. The listener collects sooner.
 */

/** The listener is called each time this much has passed. */
export const PASSING_STEP_BYTES = 4 * 1024 * 1024;

let listener: (() => void) | undefined;
let left = PASSING_STEP_BYTES;

/** Called where streamed bytes are written on. */
export function countPassing(bytes: number): void {
  left -= bytes;
  if (left > 0) return;
  left = PASSING_STEP_BYTES;
  listener?.();
}

/** Sets who is told, one for the process. */
export function onPassing(tell: (() => void) | undefined): void {
  listener = tell;
}

/**
 * Runs synchronous work that must not hold up the process: an expression that a resource file or an app gave, over an
 * event that anybody may have published. V8 itself ends it when its time is over. Costs about 0.2 ms, so it is meant for
 * work that could take long.
 */

import { Script } from 'node:vm';

/** The work took longer than it may. */
export class TimeLimitError extends Error {
  override readonly name = 'TimeLimitError';
  constructor(limitMs: number) {
    super(`it took longer than ${limitMs} ms`);
  }
}

/** Where the script finds its work; it is taken away again before anything else can run. */
const WORK = '__skerryTimedWork';
const SCRIPT = new Script(`${WORK}()`);

/** The result of `work`; throws `TimeLimitError` when it takes longer than `limitMs`. */
export function withTimeLimit<T>(limitMs: number, work: () => T): T {
  const scope = globalThis as unknown as Record<string, unknown>;
  scope[WORK] = work;
  try {
    return SCRIPT.runInThisContext({ timeout: limitMs }) as T;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_SCRIPT_EXECUTION_TIMEOUT')
      throw new TimeLimitError(limitMs);
    throw error;
  } finally {
    delete scope[WORK];
  }
}

/** Waiting for something to become true in another process: asks again and again, fails with what was awaited. */

import { setTimeout as pause } from 'node:timers/promises';

const EVERY_MS = 20;

/** Resolves with the first result that is not undefined or false; rejects when the limit is over. */
export async function until<T>(
  what: string,
  ask: () => T | undefined | false | Promise<T | undefined | false>,
  limitMs = 8000,
): Promise<T> {
  const limit = AbortSignal.timeout(limitMs);
  for (;;) {
    const result = await ask();
    if (result !== undefined && result !== false) return result;
    if (limit.aborted) throw new Error(`waited ${limitMs} ms in vain for ${what}`);
    await pause(EVERY_MS);
  }
}

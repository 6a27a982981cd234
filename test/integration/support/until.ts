/** Waiting for something to become true in another process: asks again and again, fails with what was awaited. */

import { setTimeout as pause } from 'node:timers/promises';
import type { Test } from 'tap';

const EVERY_MS = 20;
/** Only a hang ends here: a busy machine may take its time. */
const LIMIT_MS = 30_000;

/** Resolves with the first result that is not undefined or false; rejects when the limit is over. */
export async function until<T>(
  what: string,
  ask: () => T | undefined | false | Promise<T | undefined | false>,
  limitMs = LIMIT_MS,
): Promise<T> {
  const limit = AbortSignal.timeout(limitMs);
  for (;;) {
    const result = await ask();
    if (result !== undefined && result !== false) return result;
    if (limit.aborted) throw new Error(`waited ${limitMs} ms in vain for ${what}`);
    await pause(EVERY_MS);
  }
}

/** Asserts that a process says something; its lines come through a pipe, so they may come after what else shows its state. */
export async function says(
  t: Test,
  process: { output(): string },
  what: string | RegExp,
  message?: string,
): Promise<void> {
  const heard = (): boolean =>
    typeof what === 'string' ? process.output().includes(what) : what.test(process.output());
  await until(String(what), heard).catch(() => {});
  t.match(process.output(), what, message ?? `says ${what}`);
}

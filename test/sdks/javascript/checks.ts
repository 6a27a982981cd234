/** What every program of test/sdks says about itself: one line per check, and `done` when it came to its end. */

import { setTimeout as pause } from 'node:timers/promises';

const LIMIT_MS = 20_000;
const EVERY_MS = 20;

const say = (line: string): void => void process.stdout.write(`${line}\n`);
const oneLine = (error: unknown): string =>
  (error instanceof Error ? error.message : JSON.stringify(error)).replaceAll(/\s+/g, ' ').slice(0, 500);

/** Building blocks that the sidecar under test has no component for. */
const without = new Set((process.env['SDK_WITHOUT'] ?? '').split(',').filter(Boolean));

/** Runs one check; `block` is left out where the sidecar has no component for it. */
export async function check(name: string, work: () => Promise<void>, block = ''): Promise<void> {
  if (without.has(block)) return;
  const limit = pause(LIMIT_MS, undefined, { ref: false }).then(() => {
    throw new Error('no end within the time limit');
  });
  try {
    await Promise.race([work(), limit]);
    say(`ok ${name}`);
  } catch (error) {
    say(`not ok ${name}: ${oneLine(error)}`);
  }
}

export function done(): void {
  say('done');
}

/** Resolves with the first result that is not undefined or false. */
export async function until<T>(
  ask: () => T | undefined | false | Promise<T | undefined | false>,
): Promise<T> {
  const limit = AbortSignal.timeout(LIMIT_MS);
  for (;;) {
    const result = await ask();
    if (result !== undefined && result !== false) return result;
    if (limit.aborted) throw new Error(`waited in vain: ${ask}`);
    await pause(EVERY_MS);
  }
}

/** Resolves with the error of what must fail; parts of the SDK wrap it in `{ error }`, thrown or returned. */
export async function failure(work: Promise<unknown>): Promise<Error> {
  const result = await work.catch((error: unknown) => (error instanceof Error ? { error } : error));
  const { error } = (result ?? {}) as { error?: unknown };
  if (!(error instanceof Error)) throw new Error(`no error but ${JSON.stringify(result)}`);
  return error;
}

/** The end of a process without a goodbye: what it had written by now is copied, the copy is what the next one finds. */

import { cpSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';

/** Copies the files of `from` to a new folder `to`; shared memory is no content. */
export function cutPower(from: string, to: string): void {
  rmSync(to, { recursive: true, force: true });
  cpSync(from, to, { recursive: true });
  for (const name of readdirSync(to)) if (name.endsWith('-shm')) rmSync(join(to, name));
}

/** Throws with the seed and the step unless both are the same. */
export function agree(seed: number, step: number, what: string, found: unknown, wanted: unknown): void {
  const [a, b] = [JSON.stringify(found), JSON.stringify(wanted)];
  if (a !== b) throw new Error(`seed ${seed}, step ${step}: ${what}: found ${a}, the model says ${b}`);
}

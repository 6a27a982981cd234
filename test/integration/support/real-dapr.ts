/** Dapr's own programs, where the environment names them: tests against them are skipped with the reason elsewhere. */

import { existsSync } from 'node:fs';

export interface RealProgram {
  /** Path; undefined when none is named. */
  readonly path: string | undefined;
  /** Why it cannot be used, or false. */
  readonly missing: string | false;
}

/** The program that a variable such as `SKERRY_TEST_DAPRD` names. */
export function realProgram(variable: string, what: string): RealProgram {
  const path = process.env[variable];
  if (path === undefined) return { path, missing: `${variable} names no ${what}` };
  return { path, missing: existsSync(path) ? false : `${path} does not exist` };
}

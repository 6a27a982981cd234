/** Entry of the program. The first argument is the program's name (`daprd` or `skerry`), given by the launcher. */

import { setFlagsFromString } from 'node:v8';
import { writerFile } from './build-info.ts';

async function main(): Promise<void> {
  // Expressions of resource files meet texts of strangers. Like Go's, ours then take time in proportion to the text: one
  // that backtracks without end is handed to V8's linear engine.
  setFlagsFromString('--enable-experimental-regexp-engine-on-excessive-backtracks');
  // Set by the launcher for glibc, which has read it by now; it is no business of apps and secret stores.
  delete process.env['MALLOC_ARENA_MAX'];
  const [program = 'daprd', ...args] = process.argv.slice(2);
  const setup = { env: process.env, workerEntry: new URL(writerFile, import.meta.url) };
  if (program === 'skerry') {
    const { runSkerry } = await import('./cli/skerry.ts');
    await runSkerry(args, setup);
  } else {
    const { runDaprd } = await import('./cli/daprd.ts');
    await runDaprd(args, setup);
  }
}

// No top-level await: the bundle is CommonJS. A failure ends the process as an unhandled rejection.
void main();

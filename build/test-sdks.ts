// `npm run test:sdks`: the official Dapr SDKs, unmodified, against the built package. One program per language in
// test/sdks, run over HTTP and over gRPC. The last line is `N passed, N failed`.
//
// Options: `--language javascript,python` selects; `--sidecar PATH` tries another daprd; `--verbose` shows what a program
// with failures, and its sidecar, said.

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { assemble } from './build.ts';
import { cacheDir, outDir } from './paths.ts';
import { languages, Unavailable } from './sdks/languages.ts';
import { runProgram } from './sdks/run.ts';
import type { SidecarChoice } from './sdks/sidecar.ts';
import { type StepResult, step } from './steps.ts';
import { hostTarget } from './targets.ts';

const PROTOCOLS = ['http', 'grpc'];

/** Runs the program of one language over both protocols. */
export async function testSdk(
  name: string,
  choice: SidecarChoice = { executable: join(outDir(hostTarget), 'daprd'), foreign: false },
): Promise<StepResult> {
  const language = languages[name];
  if (language === undefined) {
    throw new Error(`${name}: expected one of ${Object.keys(languages).join(', ')}`);
  }
  mkdirSync(cacheDir, { recursive: true });
  let command: readonly string[];
  try {
    command = await language.prepare();
  } catch (error) {
    if (!(error instanceof Unavailable)) throw error;
    return { passed: 0, failed: 0, output: '', note: `skipped, ${error.message}` };
  }
  const runs = await Promise.all(
    PROTOCOLS.map(async (protocol) => {
      const use = { protocol, token: language.token };
      return { protocol, ...(await runProgram(command, use, choice)) };
    }),
  );
  const failures = runs.flatMap(({ protocol, failures: found, output }) =>
    found.length === 0
      ? []
      : [...found.map((failure) => `${name} ${protocol}: ${failure}`), ...(verbose() ? [output] : [])],
  );
  const passed = runs.reduce((total, run) => total + run.passed, 0);
  const failed = runs.reduce((total, run) => total + run.failures.length, 0);
  return { passed, failed, output: failures.join('\n'), note: `${passed} passed` };
}

const verbose = (): boolean => process.argv.includes('--verbose');

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      language: { type: 'string' },
      sidecar: { type: 'string' },
      verbose: { type: 'boolean' },
    },
  });
  const choice = values.sidecar === undefined ? undefined : { executable: values.sidecar, foreign: true };
  if (choice === undefined) process.stdout.write(`${await assemble(hostTarget)}\n`);
  let [passed, failed] = [0, 0];
  for (const name of values.language?.split(',') ?? Object.keys(languages)) {
    const result = await step(name, () => testSdk(name, choice));
    passed += result.passed;
    failed += result.failed;
  }
  process.stdout.write(`${passed} passed, ${failed} failed\n`);
  if (failed > 0) process.exitCode = 1;
}

if (import.meta.main) await main();

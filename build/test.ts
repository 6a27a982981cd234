// `npm test`: everything that must hold before a commit: rules, types, the bundle, all tests (the integration tests use the
// bundle), the official SDKs of JavaScript and Python (also one at an edge and one in its cloud), the recorded contract. The
// last line is `N passed, N failed`.
//
// Arguments are given to tap, whose output is then always shown, and leave out the rest: `npm test -- test/runtime/flags.test.ts`.

import { globSync } from 'node:fs';
import { join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { assemble } from './build.ts';
import { contract, contractExists, listedOnly } from './contract.ts';
import { cacheDir, fromRoot, nodeModules, outDir } from './paths.ts';
import { biome, runNode, type StepResult, step, tsc } from './steps.ts';
import { tapReport } from './tap-report.ts';
import { hostTarget } from './targets.ts';
import { testMesh, testSdk } from './test-sdks.ts';

/** tap redraws this block for a terminal; in a file only the last one is of use. */
const PROGRESS = /^Asserts: .*\nSuites: .*\n\n?(?=[\s\S]*^Asserts: )/gm;

/** What the tests may rely on: where the built package is; a compile cache, since every file loads tap anew. */
const TEST_ENV = {
  SKERRY_PACKAGE: outDir(hostTarget),
  NODE_COMPILE_CACHE: join(cacheDir, 'compile'),
  CBOR_NATIVE_ACCELERATION_DISABLED: 'true',
};

/** With arguments tap talks to the person at the terminal; without, what failed is picked out of its TAP. */
async function tap(args: readonly string[]): Promise<StepResult> {
  const script = join(nodeModules, 'tap/dist/esm/run.mjs');
  const reporter = `--reporter=${args.length > 0 ? 'terse' : 'tap'}`;
  const { code, signal, output: raw } = await runNode([script, '--no-color', reporter, ...args], TEST_ENV);
  const output = stripVTControlCharacters(raw).replaceAll('\r', '');
  if (args.length > 0) process.stdout.write(output.replace(PROGRESS, ''));
  const ended = signal === undefined ? `exit code ${code}` : `signal ${signal}`;
  const { passed, failed, failures } = tapReport(output, ended);
  return {
    passed,
    // A file that could not even count its failures still fails the run.
    failed: code !== 0 && failed === 0 ? 1 : failed,
    output: args.length > 0 ? '' : failures || `tap ended with ${ended}`,
    note: `${passed} passed`,
  };
}

async function assembleHost(): Promise<StepResult> {
  return { passed: 1, failed: 0, output: '', note: await assemble(hostTarget) };
}

const args = process.argv.slice(2);
const results: StepResult[] = [];
const interrupted = (): boolean => process.exitCode === 130;

async function add(name: string, work: () => Promise<StepResult>): Promise<void> {
  if (!interrupted()) results.push(await step(name, work));
}

if (args.length === 0) {
  await add('biome', biome);
  await add('tsc', tsc);
}
await add('bundle', assembleHost);
if (args.length > 0 || globSync('test/**/*.test.ts', { cwd: fromRoot('.') }).length > 0) {
  await add('tap', () => tap(args));
}
if (args.length === 0) {
  await Promise.all(['javascript', 'python'].map((name) => add(`${name} sdk`, () => testSdk(name))));
  await add('sdks on both sides', () => testMesh(undefined, true));
}
if (args.length === 0 && contractExists()) await add('contract', () => contract({ only: listedOnly() }));

const sum = (key: 'passed' | 'failed'): number => results.reduce((total, result) => total + result[key], 0);
if (!interrupted()) {
  if (sum('failed') > 0) process.exitCode = 1;
  process.stdout.write(`${sum('passed')} passed, ${sum('failed')} failed\n`);
}

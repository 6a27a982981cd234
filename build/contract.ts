// Replays the recorded behaviour of the real sidecar (test/contract) against the built `daprd`, and compares the outcome
// with test/contract-passing.txt: what is listed there must pass, so parity can only grow.
//
// By hand: `npm run contract -- [--only regex] [--jobs n] [--update]`; `--update` adds to the list what passes by now.

import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { assemble } from './build.ts';
import { cacheDir, fromRoot, outDir } from './paths.ts';
import { runNode, type StepResult, step } from './steps.ts';
import { hostTarget } from './targets.ts';

const replay = fromRoot('test/contract/replay.mjs');
const listFile = fromRoot('test/contract-passing.txt');

interface ScenarioResult {
  readonly name: string;
  readonly result: string;
  readonly diffs: readonly string[];
}

export interface ContractOptions {
  readonly only?: string | undefined;
  readonly jobs?: string | undefined;
  readonly update?: boolean | undefined;
  /** Prints what the runner says about every failing scenario, listed or not. */
  readonly show?: boolean | undefined;
}

/** There is nothing to check while the corpus or the list is missing. */
export function contractExists(): boolean {
  return existsSync(replay) && listed().length > 0;
}

function listed(): string[] {
  if (!existsSync(listFile)) return [];
  return readFileSync(listFile, 'utf8').split('\n').filter(Boolean);
}

/** A pattern for exactly the listed scenarios: `npm test` need not run what is known to fail. */
export function listedOnly(): string {
  return `^(${listed()
    .map((name) => RegExp.escape(name))
    .join('|')})$`;
}

function compare(results: readonly ScenarioResult[], expected: readonly string[]): StepResult {
  const byName = new Map(results.map((result) => [result.name, result]));
  const broken = expected.filter((name) => byName.get(name)?.result !== 'pass');
  const lines = broken.map((name) => {
    const { result = 'not found', diffs = [] } = byName.get(name) ?? {};
    return [`${name}: ${result}`, ...diffs.map((diff) => `    ${diff}`)].join('\n');
  });
  const passing = results.filter(({ result }) => result === 'pass').length;
  return {
    passed: broken.length === 0 ? 1 : 0,
    failed: broken.length === 0 ? 0 : 1,
    output: lines.join('\n'),
    note: `${passing} of ${results.length} scenarios pass, ${expected.length} listed`,
  };
}

function addToList(names: readonly string[]): void {
  writeFileSync(listFile, `${[...new Set([...listed(), ...names])].sort().join('\n')}\n`);
}

/** Says what passes without being listed, or lists it. */
function noticeNew(results: readonly ScenarioResult[], update: boolean): void {
  const known = new Set(listed());
  const fresh = results.filter(({ name, result }) => result === 'pass' && !known.has(name));
  if (fresh.length === 0) return;
  const names = fresh.map(({ name }) => name);
  if (update) addToList(names);
  const verb = update ? 'listed now' : 'pass, not listed (--update adds them)';
  process.stdout.write(`${verb}:\n${names.map((name) => `    ${name}`).join('\n')}\n`);
}

/** Runs the scenarios against the already built host package. */
export async function contract({
  only,
  jobs,
  update = false,
  show = false,
}: ContractOptions): Promise<StepResult> {
  mkdirSync(cacheDir, { recursive: true });
  const report = join(cacheDir, 'contract.json');
  const options = ['--sidecar', join(outDir(hostTarget), 'daprd'), '--report', report];
  if (only !== undefined) options.push('--only', only);
  if (jobs !== undefined) options.push('--jobs', jobs);
  writeFileSync(report, '');
  const { output } = await runNode([replay, ...options]);
  if (show) process.stdout.write(output);
  const written = readFileSync(report, 'utf8');
  if (written === '') return { passed: 0, failed: 1, output };
  const { results }: { results: ScenarioResult[] } = JSON.parse(written);
  noticeNew(results, update);
  const pattern = new RegExp(only ?? '');
  const expected = listed().filter((name) => pattern.test(name));
  return compare(results, expected);
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      only: { type: 'string' },
      jobs: { type: 'string' },
      update: { type: 'boolean' },
    },
  });
  process.stdout.write(`${await assemble(hostTarget)}\n`);
  const { failed } = await step('contract', () => contract({ ...values, show: true }));
  if (failed > 0) process.exitCode = 1;
}

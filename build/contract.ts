// Replays the recorded behaviour of the real sidecar (test/contract) against the built `daprd`, and compares the outcome
// with test/contract-passing.txt: what is listed there must pass, so parity can only grow.
//
// By hand: `npm run contract -- [--only regex] [--jobs n] [--update]`; `--update` adds to the list what passes by now.

import { existsSync, globSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { assemble } from './build.ts';
import { cacheDir, fromRoot, outDir } from './paths.ts';
import { runNode, type StepResult, step } from './steps.ts';
import { hostTarget } from './targets.ts';

const replay = fromRoot('test/contract/replay.mjs');
const listFile = fromRoot('test/contract-passing.txt');

/** More failures than this are no accident. */
const MAX_REPEATED = 8;

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
    passed: expected.length - broken.length,
    failed: broken.length,
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
  const first = readReport(report);
  if (first === undefined) return { passed: 0, failed: 1, output };
  noticeNew(first, update);
  const pattern = new RegExp(only ?? '');
  const expected = listed().filter((name) => pattern.test(name));
  const outcome = compare(await secondChance(first, expected, report), expected);
  const difference = copyDifference();
  return difference === undefined ? outcome : { ...outcome, note: `${outcome.note}; ${difference}` };
}

function readReport(report: string): readonly ScenarioResult[] | undefined {
  const written = readFileSync(report, 'utf8');
  return written === '' ? undefined : (JSON.parse(written) as { results: ScenarioResult[] }).results;
}

/**
 * Listed scenarios that failed run once more, alone: a port number that happens to stand in a random id, or a machine
 * that stalls for seconds, must not decide; a behaviour that broke fails again.
 */
async function secondChance(
  first: readonly ScenarioResult[],
  expected: readonly string[],
  report: string,
): Promise<readonly ScenarioResult[]> {
  const failed = first.filter(({ name, result }) => result !== 'pass' && expected.includes(name));
  if (failed.length === 0 || failed.length > MAX_REPEATED) return first;
  const only = `^(${failed.map(({ name }) => RegExp.escape(name)).join('|')})$`;
  const sidecar = join(outDir(hostTarget), 'daprd');
  writeFileSync(report, '');
  await runNode([replay, '--sidecar', sidecar, '--report', report, '--only', only, '--jobs', '1']);
  const again = new Map((readReport(report) ?? []).map((result) => [result.name, result]));
  return first.map((result) => again.get(result.name) ?? result);
}

/** Where the corpus lies beside the clone as well, says when the two differ. */
function copyDifference(): string | undefined {
  const original = fromRoot('../shared/contract');
  if (!existsSync(original)) return undefined;
  const copy = fromRoot('test/contract');
  const files = (folder: string): string[] => globSync('**/*.{json,yaml,mjs,md}', { cwd: folder }).sort();
  const names = new Set([...files(original), ...files(copy)]);
  const text = (folder: string, name: string): string | undefined =>
    existsSync(join(folder, name)) ? readFileSync(join(folder, name), 'utf8') : undefined;
  const different = [...names].filter((name) => text(original, name) !== text(copy, name));
  return different.length === 0
    ? undefined
    : `test/contract differs from ../shared/contract in ${different.length} files: ${different.slice(0, 5).join(', ')}`;
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

// `npm run test:sdks`: the official Dapr SDKs, unmodified, against the built package. One program per language in
// test/sdks, run over HTTP and over gRPC. The last line is `N passed, N failed`.
// `mesh` is a program of JavaScript at an edge and one of Python in its cloud, and the other way round.
//
// Options: `--language javascript,python,mesh` selects; `--sidecar PATH` tries another daprd (for `mesh`: as the cloud, which
// SKERRY_TEST_DAPRD does too, besides ours); `--verbose` shows what a program with failures, and its sidecar, said.

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { assemble } from './build.ts';
import { cacheDir, outDir } from './paths.ts';
import { languages, Unavailable } from './sdks/languages.ts';
import { runMesh } from './sdks/mesh.ts';
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
    throw new Error(`${name}: expected one of ${Object.keys(languages).join(', ')}, mesh`);
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

/** Who is at the edge, who in the cloud, and the protocol of both. */
const MESHES = [
  ['javascript', 'python', 'http'],
  ['python', 'javascript', 'grpc'],
  ['javascript', 'python', 'grpc'],
  ['python', 'javascript', 'http'],
] as const;
/** As many at a time: each is five processes of ours and two programs. */
const MESHES_AT_ONCE = 2;

/**
 * An edge and its cloud, a cloud of ours or a daprd: both languages on both sides over both protocols, or with `few` each
 * language once on each side.
 */
export async function testMesh(daprd?: string, few = false): Promise<StepResult> {
  mkdirSync(cacheDir, { recursive: true });
  const programs: Record<string, readonly string[]> = {};
  try {
    for (const name of ['javascript', 'python']) {
      const language = languages[name];
      const command = (await language?.prepare()) ?? [];
      programs[name] = [...command.slice(0, -1), language?.meshProgram ?? ''];
    }
  } catch (error) {
    if (!(error instanceof Unavailable)) throw error;
    return { passed: 0, failed: 0, output: '', note: `skipped, ${error.message}` };
  }
  let passed = 0;
  const failures: string[] = [];
  const outputs: string[] = [];
  const run = async ([edge, cloud, protocol]: (typeof MESHES)[number]): Promise<void> => {
    const commands = { edge: programs[edge] ?? [], cloud: programs[cloud] ?? [] };
    const result = await runMesh({ ...commands, protocol, daprd });
    passed += result.passed;
    if (result.failures.length === 0) return;
    failures.push(...result.failures.map((one) => `${edge} at the edge, ${cloud}, ${protocol}: ${one}`));
    outputs.push(result.output);
  };
  const left = few ? MESHES.slice(0, 2) : [...MESHES];
  while (left.length > 0) await Promise.all(left.splice(0, MESHES_AT_ONCE).map(run));
  const output = [...failures, ...(verbose() ? outputs : [])].join('\n');
  return { passed, failed: failures.length, output, note: `${passed} passed` };
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
  const add = async (name: string, work: () => Promise<StepResult>): Promise<void> => {
    const result = await step(name, work);
    passed += result.passed;
    failed += result.failed;
  };
  for (const name of values.language?.split(',') ?? [...Object.keys(languages), 'mesh']) {
    if (name !== 'mesh') await add(name, () => testSdk(name, choice));
    else {
      if (choice === undefined) await add('mesh', testMesh);
      const daprd = values.sidecar ?? process.env['SKERRY_TEST_DAPRD'];
      if (daprd !== undefined) await add('mesh with a daprd', () => testMesh(daprd));
    }
  }
  process.stdout.write(`${passed} passed, ${failed} failed\n`);
  if (failed > 0) process.exitCode = 1;
}

if (import.meta.main) await main();

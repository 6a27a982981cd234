// Running the steps of a check: a command's output is kept and shown only when it failed; a success is one line.

import { spawn } from 'node:child_process';
import { fromRoot, nodeModules } from './paths.ts';

/** What a step found: points counted as passed and failed, and what to show when something failed. */
export interface StepResult {
  readonly passed: number;
  readonly failed: number;
  readonly output: string;
  /** Said in the success line, after the step's name. */
  readonly note?: string;
}

export interface CommandResult {
  /** 1 after a signal. */
  readonly code: number;
  readonly signal?: NodeJS.Signals;
  readonly output: string;
}

/** Runs a script with the Node that runs us, in the clone, and collects what it prints. */
export function runNode(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<CommandResult> {
  const child = spawn(process.execPath, args, {
    cwd: fromRoot('.'),
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const stop = (signal: NodeJS.Signals): void => {
    child.kill(signal);
    process.exitCode = 130;
  };
  process.once('SIGINT', stop).once('SIGTERM', stop);
  const chunks: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => chunks.push(chunk));
  return new Promise((resolve) => {
    child.on('error', (error) => resolve({ code: 127, output: error.message }));
    child.on('close', (code, signal) => {
      process.off('SIGINT', stop).off('SIGTERM', stop);
      const output = Buffer.concat(chunks).toString();
      resolve(signal === null ? { code: code ?? 1, output } : { code: 1, signal, output });
    });
  });
}

/** A step whose only question is whether one command succeeds. */
export async function commandStep(args: readonly string[]): Promise<StepResult> {
  const { code, output } = await runNode(args);
  return { passed: code === 0 ? 1 : 0, failed: code === 0 ? 0 : 1, output };
}

export function biome(): Promise<StepResult> {
  return commandStep([
    `${nodeModules}/@biomejs/biome/bin/biome`,
    'check',
    '--error-on-warnings',
    '--colors=off',
  ]);
}

export function tsc(): Promise<StepResult> {
  return commandStep([`${nodeModules}/typescript/bin/tsc`, '--project', '.', '--pretty', 'false']);
}

/** Runs one step, prints its line (or all it has to say) and passes its result on. A throw is a failure. */
export async function step(name: string, work: () => Promise<StepResult>): Promise<StepResult> {
  const begin = performance.now();
  const result = await work().catch(
    (error: unknown): StepResult => ({ passed: 0, failed: 1, output: String(error) }),
  );
  const seconds = ((performance.now() - begin) / 1000).toFixed(1);
  if (result.failed === 0) {
    process.stdout.write(`ok      ${name}${result.note ? `: ${result.note}` : ''} (${seconds} s)\n`);
  } else {
    process.stdout.write(`${result.output.trimEnd()}\nFAILED  ${name} (${seconds} s)\n`);
  }
  return result;
}

// Runs one program of test/sdks against one sidecar and reads its verdicts: lines `ok NAME`, `not ok NAME: REASON`, and
// `done` at its end. The program serves its app at once and begins its checks when it reads a line, which it is given as
// soon as the sidecar is healthy.

import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { cacheDir } from '../paths.ts';
import { type SidecarChoice, type SidecarUse, startSdkSidecar } from './sidecar.ts';

const LIMIT_MS = 300_000;

export interface ProgramResult {
  readonly passed: number;
  readonly failures: readonly string[];
  /** All that program and sidecar said. */
  readonly output: string;
}

/** What a program said of its checks. */
export function verdicts(output: string): Omit<ProgramResult, 'output'> {
  const lines = output.split('\n');
  const failures = lines.filter((line) => line.startsWith('not ok ')).map((line) => line.slice(7));
  if (!lines.includes('done')) failures.push('the program did not come to its end');
  return { passed: lines.filter((line) => line.startsWith('ok ')).length, failures };
}

/** Runs the program to its end. */
export async function runProgram(
  command: readonly string[],
  use: SidecarUse,
  choice: SidecarChoice,
): Promise<ProgramResult> {
  const parent = join(cacheDir, 'sdks');
  mkdirSync(parent, { recursive: true });
  const folder = mkdtempSync(join(parent, 'run-'));
  const sidecar = await startSdkSidecar(choice, use, folder);
  const [file = '', ...args] = command;
  const child = spawn(file, args, {
    env: { ...process.env, ...sidecar.env },
    stdio: ['pipe', 'pipe', 'pipe'],
    timeout: LIMIT_MS,
    killSignal: 'SIGKILL',
  });
  const chunks: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => chunks.push(chunk));
  child.stdin.on('error', () => {});
  const ended = new Promise<void>((resolve) => {
    child.once('error', () => resolve());
    child.once('close', () => resolve());
  });
  const interrupt = (): void => {
    process.exitCode = 130;
    child.kill('SIGKILL');
  };
  process.once('SIGINT', interrupt).once('SIGTERM', interrupt);
  try {
    await sidecar.ready().then(
      () => child.stdin.end('go\n'),
      (error: unknown) => {
        chunks.push(Buffer.from(`\nnot ok start: ${String(error)}\n`));
        child.kill('SIGKILL');
      },
    );
    await ended;
  } finally {
    process.off('SIGINT', interrupt).off('SIGTERM', interrupt);
    child.kill('SIGKILL');
    await sidecar.stop();
    rmSync(folder, { recursive: true, force: true });
  }
  const said = Buffer.concat(chunks).toString();
  return { ...verdicts(said), output: `${said}\n--- sidecar ---\n${sidecar.output()}` };
}

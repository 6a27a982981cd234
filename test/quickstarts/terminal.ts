/** Commands as somebody would type them, in a process group of their own, and what they print. */

import { spawn } from 'node:child_process';
import { setTimeout as pause } from 'node:timers/promises';

export interface Typed {
  readonly output: () => string;
  /** The exit code; 1 after a signal. Undefined while it runs. */
  readonly code: () => number | undefined;
  /** Resolves when the condition holds, the commands have ended, or the time is over. */
  until(holds: () => boolean, limitMs: number): Promise<void>;
  /** Ctrl-C, and an end by force when that is not enough. */
  interrupt(): Promise<void>;
}

const LOOK_EVERY_MS = 100;
const ENDING_MS = 20_000;

export function type(commands: string, cwd: string, env: NodeJS.ProcessEnv): Typed {
  const child = spawn('bash', ['-ec', commands], {
    cwd,
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  const chunks: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => chunks.push(chunk));
  let code: number | undefined;
  child.once('error', () => {
    code = 127;
  });
  child.once('close', (status) => {
    code = status ?? 1;
  });
  const until = async (holds: () => boolean, limitMs: number): Promise<void> => {
    for (let waited = 0; code === undefined && !holds() && waited < limitMs; waited += LOOK_EVERY_MS)
      await pause(LOOK_EVERY_MS);
  };
  const kill = (signal: NodeJS.Signals): void => {
    try {
      process.kill(-(child.pid ?? 0), signal);
    } catch {
      // It has ended.
    }
  };
  return {
    output: () => Buffer.concat(chunks).toString(),
    code: () => code,
    until,
    interrupt: async () => {
      if (code !== undefined) return;
      kill('SIGINT');
      await until(() => false, ENDING_MS);
      if (code === undefined) kill('SIGKILL');
    },
  };
}

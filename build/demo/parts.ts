// The processes of the demo: started with their output in files, watched, stopped in order.

import { type ChildProcess, spawn } from 'node:child_process';
import { openSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

export interface Part {
  readonly name: string;
  /** Asks the process to end and waits; a process that stays is killed. */
  stop(): Promise<void>;
}

export interface PartSpec {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Answers once the part is ready. */
  readonly readyUrl?: string;
}

const READY_LIMIT_MS = 20_000;
const POLL_MS = 100;
const STOP_LIMIT_MS = 8000;

/** JSON of an answer, `undefined` when nobody answers or it is not a success. */
export async function ask(url: string): Promise<unknown> {
  try {
    const answer = await fetch(url, { signal: AbortSignal.timeout(2000) });
    if (!answer.ok) return undefined;
    const text = await answer.text();
    return text === '' ? {} : JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Starts a part; its output goes to `<folder>/<name>.log`. Its own process group: a Ctrl-C reaches us alone. */
export async function startPart(
  spec: PartSpec,
  folder: string,
  unexpected: (message: string) => void,
): Promise<Part> {
  const log = join(folder, `${spec.name}.log`);
  const out = openSync(log, 'a');
  const child: ChildProcess = spawn(spec.command, spec.args, {
    env: { ...process.env, ...spec.env },
    stdio: ['ignore', out, out],
    detached: true,
  });
  let stopping = false;
  let ended = false;
  const exit = new Promise<void>((resolve) => {
    child.once('error', () => resolve());
    child.once('exit', (code, signal) => {
      ended = true;
      if (!stopping)
        unexpected(`${spec.name} ended by itself (${signal ?? `exit code ${code}`}); see ${log}`);
      resolve();
    });
  });
  const part: Part = {
    name: spec.name,
    stop: async () => {
      stopping = true;
      if (ended) return;
      child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), STOP_LIMIT_MS);
      await exit;
      clearTimeout(timer);
    },
  };
  if (spec.readyUrl === undefined) return part;
  for (let waited = 0; waited < READY_LIMIT_MS && !ended; waited += POLL_MS) {
    if ((await ask(spec.readyUrl)) !== undefined) return part;
    await sleep(POLL_MS);
  }
  stopping = true;
  child.kill('SIGKILL');
  throw new Error(`${spec.name} did not come up; see ${log}`);
}

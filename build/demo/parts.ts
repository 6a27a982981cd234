// The processes of the demo: started with their output in files, watched, stopped in order.

import { type ChildProcess, spawn } from 'node:child_process';
import { openSync, readFileSync } from 'node:fs';
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
  /** How the part shows that it is ready: it answers here, or has said this. */
  readonly readyUrl?: string;
  readonly readyText?: string;
}

const READY_LIMIT_MS = 20_000;
const POLL_MS = 50;
const STOP_LIMIT_MS = 8000;
const ASK_LIMIT_MS = 2000;

/** JSON of an answer, `undefined` when nobody answers or it is not a success. */
export async function ask(url: string): Promise<unknown> {
  try {
    const answer = await fetch(url, { signal: AbortSignal.timeout(ASK_LIMIT_MS) });
    if (!answer.ok) return undefined;
    const text = await answer.text();
    return text === '' ? {} : JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Runs a command to its end and resolves with what it printed; rejects with that when it fails. */
export function runToEnd(command: string, args: readonly string[]): Promise<string> {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], detached: true });
  let [said, complained] = ['', ''];
  child.stdout.on('data', (chunk: Buffer) => {
    said += chunk.toString();
  });
  child.stderr.on('data', (chunk: Buffer) => {
    complained += chunk.toString();
  });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => {
      if (code === 0) resolve(said.trim());
      else reject(new Error(`${command} ${args[0]} failed: ${(complained || said).trim()}`));
    });
  });
}

/** Starts a part; its output goes to `<folder>/<name>.log`. Its own process group: a Ctrl-C reaches us alone. */
export async function startPart(
  spec: PartSpec,
  folder: string,
  unexpected: (message: string) => void,
): Promise<Part> {
  const log = join(folder, `${spec.name}.log`);
  const out = openSync(log, 'a');
  const before = readFileSync(log, 'utf8').length;
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
  const { readyUrl, readyText } = spec;
  const isReady = async (): Promise<boolean> => {
    if (readyUrl !== undefined) return (await ask(readyUrl)) !== undefined;
    return readyText === undefined || readFileSync(log, 'utf8').slice(before).includes(readyText);
  };
  for (let waited = 0; waited < READY_LIMIT_MS && !ended; waited += POLL_MS) {
    if (await isReady()) return part;
    await sleep(POLL_MS);
  }
  stopping = true;
  child.kill('SIGKILL');
  throw new Error(`${spec.name} did not come up; see ${log}`);
}

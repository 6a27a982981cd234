// How the program of each language in test/sdks is made ready to run. What a machine lacks, or a registry refuses, is a
// reason to leave the language out; a program that does not compile is a failure.

import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { cacheDir, fromRoot } from '../paths.ts';

/** A language cannot be tried here, and why. */
export class Unavailable extends Error {
  override readonly name = 'Unavailable';
}

/** Prepares the language and resolves with the command that runs its program. */
type Prepare = () => Promise<readonly string[]>;

const sdkCache = join(cacheDir, 'sdks');
const programs = fromRoot('test/sdks');

interface Outcome {
  readonly code: number;
  readonly output: string;
}

function execute(command: string, args: readonly string[], cwd: string): Promise<Outcome> {
  const child = spawn(command, args, { cwd, stdio: ['ignore', 'pipe', 'pipe'] });
  const chunks: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => chunks.push(chunk));
  return new Promise((resolve) => {
    child.once('error', (error) => resolve({ code: 127, output: error.message }));
    child.once('close', (code) => resolve({ code: code ?? 1, output: Buffer.concat(chunks).toString() }));
  });
}

/** Runs a step that may fail for reasons that are not ours. */
async function need(what: string, command: string, args: readonly string[], cwd: string): Promise<void> {
  const { code, output } = await execute(command, args, cwd);
  if (code === 0) return;
  const said = output
    .trim()
    .split('\n')
    .find((line) => /error|could not|cannot|not found|enoent|no module/i.test(line));
  throw new Unavailable(`${what}: ${(said ?? output).trim().slice(0, 300)}`);
}

function digest(...files: readonly string[]): string {
  const hash = createHash('sha256');
  for (const file of files) hash.update(readFileSync(file)).update('\0');
  return hash.digest('hex').slice(0, 12);
}

/** A folder that is complete once `make` succeeded; an interrupted one is made anew. */
async function cached(name: string, make: (folder: string) => Promise<void>): Promise<string> {
  const folder = join(sdkCache, name);
  const stamp = join(folder, '.complete');
  if (existsSync(stamp)) return folder;
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  await make(folder);
  writeFileSync(stamp, '');
  return folder;
}

async function python(): Promise<readonly string[]> {
  const requirements = join(programs, 'python/requirements.txt');
  const folder = await cached(`python-${digest(requirements)}`, async (folder) => {
    await need('python3 with venv', 'python3', ['-m', 'venv', folder], programs);
    const install = ['-m', 'pip', 'install', '--quiet', '--no-input', '--no-deps', '--only-binary=:all:'];
    await need('pip', join(folder, 'bin/python'), [...install, '-r', requirements], programs);
  });
  return [join(folder, 'bin/python'), '-B', join(programs, 'python/main.py')];
}

async function go(): Promise<readonly string[]> {
  const source = join(programs, 'go');
  await need('go', 'go', ['version'], source);
  await need('go modules', 'go', ['mod', 'download'], source);
  mkdirSync(sdkCache, { recursive: true });
  const program = join(sdkCache, 'go-program');
  const { code, output } = await execute('go', ['build', '-o', program, '.'], source);
  if (code !== 0) throw new Error(output);
  return [program];
}

async function java(): Promise<readonly string[]> {
  const source = join(programs, 'java');
  const pom = join(source, 'pom.xml');
  await need('java', 'javac', ['-version'], source);
  const libraries = await cached(`java-${digest(pom)}`, async (folder) => {
    const copy = ['dependency:copy-dependencies', `-DoutputDirectory=${folder}`, '-DincludeScope=runtime'];
    await need('maven', 'mvn', ['--batch-mode', '--quiet', '--file', pom, ...copy], source);
  });
  const classes = join(sdkCache, 'java-classes');
  rmSync(classes, { recursive: true, force: true });
  const files = globSync('*.java', { cwd: source }).map((name) => join(source, name));
  const classPath = join(libraries, '*');
  const compile = ['-d', classes, '-cp', classPath, '-proc:none', '--release', '17', ...files];
  const { code, output } = await execute('javac', compile, source);
  if (code !== 0) throw new Error(output);
  return ['java', '-XX:TieredStopAtLevel=1', '-cp', `${classes}:${classPath}`, 'Main'];
}

export interface Language {
  readonly prepare: Prepare;
  /** Whether the SDK sends the API token with every call. Python's leaves it out of streams that only the server fills. */
  readonly token: boolean;
  /** The program that plays one side of an edge and its cloud, in place of the last argument of the command. */
  readonly meshProgram?: string;
}

/** The languages by name. */
export const languages: Readonly<Record<string, Language>> = {
  javascript: {
    prepare: async () => [process.execPath, join(programs, 'javascript/main.ts')],
    token: true,
    meshProgram: join(programs, 'javascript/mesh.ts'),
  },
  python: { prepare: python, token: false, meshProgram: join(programs, 'python/mesh.py') },
  go: { prepare: go, token: true },
  java: { prepare: java, token: true },
};

// The one entry of all npm scripts. Plain JavaScript for whatever Node >= 20 the machine has: it brings dependencies and
// generated code up to date, then hands over to the pinned Node of node_modules for the script of the task.
//
// The child gets its own process group, so that a Ctrl-C (which a terminal sends to everyone, and npm sends again) reaches
// it exactly once, from here. The exit code is the child's.

import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const nodePackage = `node-linux-${process.arch}`;
const pinnedNode = join(root, 'node_modules', nodePackage, 'bin/node');
const REPEAT_MS = 500;

/** Scripts to run in order; the extra arguments go to the last one. */
const TASKS = {
  start: ['build/start.ts'],
  test: ['build/test.ts'],
  build: ['build/build.ts'],
  check: ['build/check.ts'],
  'test:sdks': ['build/test-sdks.ts'],
  'test:quickstarts': ['test/quickstarts/main.ts'],
  contract: ['build/contract.ts'],
  bench: ['test/bench/main.ts'],
  crash: ['test/crash/main.ts'],
  damage: ['test/crash/damage-main.ts'],
  kill: ['test/crash/kill-main.ts'],
  model: ['test/model/main.ts'],
  'model:sync': ['test/model/sync-main.ts'],
  'bench:spool': ['test/bench/spool-backlog.ts'],
  'bench:disk': ['test/bench/slow-disk.ts'],
  'bench:writes': ['test/bench/written-bytes.ts'],
  soak: ['test/load/soak.ts'],
  'bench:relay': ['test/bench/relay.ts'],
  'bench:link-bytes': ['test/bench/link-bytes.ts'],
  fuzz: ['test/fuzz/main.ts'],
  load: ['test/load/main.ts'],
  links: ['test/links/main.ts'],
};

const say = (line) => process.stderr.write(`skerry: ${line}\n`);
const read = (path) => readFileSync(join(root, path));
const readIfThere = (path) => (existsSync(join(root, path)) ? read(path).toString().trim() : '');

function digest(...parts) {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part).update('\0');
  return hash.digest('hex');
}

/** Runs a preparing command in silence; its output appears only when it fails. */
function prepare(what, command, args) {
  say(what);
  const { status, stdout, stderr, error } = spawnSync(command, args, { cwd: root, encoding: 'utf8' });
  if (status === 0) return;
  process.stderr.write(`${stdout ?? ''}${stderr ?? ''}${error?.message ?? ''}\n`);
  say(`failed: ${what}`);
  process.exit(1);
}

function ensureDependencies() {
  const stamp = 'node_modules/.skerry-lock';
  const wanted = digest(read('package-lock.json'));
  if (readIfThere(stamp) === wanted && existsSync(pinnedNode)) return;
  const npm = process.env.npm_execpath;
  const args = ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];
  const what = 'installing dependencies (npm ci)';
  if (npm?.endsWith('.js')) prepare(what, process.execPath, [npm, ...args]);
  else prepare(what, 'npm', args);
  if (!existsSync(pinnedNode)) {
    say(`there is no ${nodePackage} package: Skerry builds on Linux, x64 or arm64`);
    process.exit(1);
  }
  writeFileSync(join(root, stamp), wanted);
}

/** The pinned Node needs a library that minimal systems lack; the loader's own message names no package. */
function ensureNodeStarts() {
  const { status, stderr, error } = spawnSync(pinnedNode, ['--version'], { encoding: 'utf8' });
  if (status === 0) return;
  process.stderr.write(`${stderr ?? ''}${error?.message ?? ''}\n`);
  say('the pinned Node does not start here; on Debian and its kin: apt-get install libatomic1');
  process.exit(1);
}

/** The generated protobuf code depends on our .proto files, the generator, and the locked packages behind it. */
function ensureGenerated() {
  const stamp = 'runtime/generated/.stamp';
  const { packages } = JSON.parse(read('package-lock.json'));
  const locked = ['@dapr/dapr', '@bufbuild/buf', '@bufbuild/protoc-gen-es'].map(
    (name) => packages[`node_modules/${name}`]?.integrity ?? '',
  );
  const ours = readdirSync(join(root, 'build/proto'), { recursive: true })
    .filter((name) => name.endsWith('.proto'))
    .sort()
    .flatMap((name) => [name, read(join('build/proto', name))]);
  const wanted = digest(...locked, read('build/generate.ts'), ...ours);
  if (readIfThere(stamp) === wanted) return;
  prepare('generating protobuf code', pinnedNode, ['build/generate.ts']);
  writeFileSync(join(root, stamp), wanted);
}

/** Runs one script to its end and resolves with its exit code. */
function run(script, args) {
  const child = spawn(pinnedNode, [script, ...args], { cwd: root, stdio: 'inherit', detached: true });
  const last = {};
  const forward = (signal) => {
    const now = Date.now();
    if (now - (last[signal] ?? 0) < REPEAT_MS) return;
    last[signal] = now;
    child.kill(signal);
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, forward);
  return new Promise((resolve) => {
    child.on('error', (error) => {
      say(error.message);
      resolve(127);
    });
    child.on('exit', (code, signal) => {
      for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.off(name, forward);
      resolve(code ?? 128 + (constants.signals[signal] ?? 0));
    });
  });
}

const [task, ...args] = process.argv.slice(2);
const scripts = TASKS[task];
if (scripts === undefined) {
  say(`usage: node build/run.mjs ${Object.keys(TASKS).join('|')} [arguments]`);
  process.exit(2);
}
ensureDependencies();
ensureNodeStarts();
ensureGenerated();
let code = 0;
for (const [index, script] of scripts.entries()) {
  code = await run(script, index === scripts.length - 1 ? args : []);
  if (code !== 0) break;
}
process.exit(code);

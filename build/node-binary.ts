// Puts the pinned Node of a target at lib/node. The host's is in node_modules; the other one is fetched with `npm pack`
// (npm refuses to install a package of a foreign CPU) and checked against the integrity in package-lock.json.

import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  linkSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { cacheDir, nodeModules } from './paths.ts';
import { hostTarget, lockedPackage, nodePackageOf, type Target } from './targets.ts';

function must(command: string, args: readonly string[], cwd: string): string {
  const { status, stdout, stderr, error } = spawnSync(command, args, { cwd, encoding: 'utf8' });
  if (status === 0) return stdout;
  throw new Error(`${command} ${args.join(' ')} failed: ${stderr ?? ''}${error?.message ?? ''}`);
}

function npm(args: readonly string[], cwd: string): string {
  const script = process.env['npm_execpath'];
  return script?.endsWith('.js') ? must(process.execPath, [script, ...args], cwd) : must('npm', args, cwd);
}

/** The unpacked bin/node of a foreign target, from the cache when it is there. */
function fetchForeign(target: Target): string {
  const name = nodePackageOf(target);
  const { version, integrity } = lockedPackage(name);
  const binary = join(cacheDir, `${name}-${version}`, 'node');
  if (existsSync(binary)) return binary;
  mkdirSync(cacheDir, { recursive: true });
  npm(['pack', `${name}@${version}`, '--silent', '--pack-destination', cacheDir], cacheDir);
  const tarball = join(cacheDir, `${name}-${version}.tgz`);
  const actual = `sha512-${createHash('sha512').update(readFileSync(tarball)).digest('base64')}`;
  if (actual !== integrity) {
    rmSync(tarball);
    throw new Error(`${name}@${version}: integrity is ${actual}, package-lock.json says ${integrity}`);
  }
  must('tar', ['-xzf', tarball, 'package/bin/node'], cacheDir);
  mkdirSync(dirname(binary), { recursive: true });
  renameSync(join(cacheDir, 'package/bin/node'), binary);
  rmSync(join(cacheDir, 'package'), { recursive: true });
  rmSync(tarball);
  return binary;
}

/** Writes lib/node as a hard link where the file system allows it (150 MB), else as a copy. */
export function placeNode(target: Target, lib: string): void {
  const source =
    target === hostTarget ? join(nodeModules, nodePackageOf(target), 'bin/node') : fetchForeign(target);
  const destination = join(lib, 'node');
  mkdirSync(lib, { recursive: true });
  rmSync(destination, { force: true });
  try {
    linkSync(source, destination);
  } catch {
    copyFileSync(source, destination);
  }
  chmodSync(destination, 0o755);
}

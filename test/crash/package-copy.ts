/** Copies of the package that are broken on purpose, and where the harness works. */

import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A copy of the package that answers before its data is synced: what the explorer must catch. */
export function breakPackage(from: string, to: string): string {
  cpSync(from, to, { recursive: true, verbatimSymlinks: true });
  let changed = 0;
  for (const name of readdirSync(join(to, 'lib'))) {
    if (!name.endsWith('.cjs')) continue;
    const path = join(to, 'lib', name);
    const text = readFileSync(path, 'utf8');
    const broken = text.replaceAll(/(["'`])FULL\1/g, '$1NORMAL$1');
    if (broken === text) continue;
    writeFileSync(path, broken);
    changed += 1;
  }
  if (changed === 0) throw new Error(`no synchronous=FULL found in ${to}`);
  return join(to, 'daprd');
}

/** A folder in memory where there is one. */
export function workFolder(): string {
  const base = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();
  const folder = join(base, `skerry-crash-${process.pid}`);
  mkdirSync(folder, { recursive: true });
  return folder;
}

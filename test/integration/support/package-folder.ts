/** Where the built package under test is: SKERRY_PACKAGE, or the host's folder that `npm run build` writes. */

import { existsSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';

const root = resolve(import.meta.dirname, '../../..');

/** The folder with the commands `daprd` and `skerry`. */
export function packageFolder(): string {
  const host = process.arch === 'arm64' ? 'linux-arm64' : 'linux-x64';
  const folder = process.env['SKERRY_PACKAGE'] ?? join(root, 'build/out', host);
  if (!existsSync(join(folder, 'daprd')))
    throw new Error(`there is no built package in ${folder}: run \`npm run build -- --host\` first`);
  return folder;
}

/** One of the two commands. */
export function program(name: 'daprd' | 'skerry'): string {
  return join(packageFolder(), name);
}

/** The package of another machine beside the one under test, when it was built. */
export function foreignPackage(target: string): string | undefined {
  const folder = join(dirname(packageFolder()), target);
  return existsSync(join(folder, 'daprd')) ? folder : undefined;
}

// Builds the package of each target under build/out/<target>: the commands, Node, the bundle, licences.
// `npm run build -- --host` leaves the foreign target out.

import { copyFileSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { bundle } from './bundle.ts';
import { checkBundleSize } from './check-size.ts';
import { writeExecutables } from './executables.ts';
import { writeLicences } from './licences.ts';
import { placeNode } from './node-binary.ts';
import { fromRoot, outDir } from './paths.ts';
import { hostTarget, type Target, targets } from './targets.ts';

/** Builds one target from nothing and returns a line about it. */
export async function assemble(target: Target): Promise<string> {
  const folder = outDir(target);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(join(folder, 'lib'), { recursive: true });
  const { bytes, metafile } = await bundle(target);
  checkBundleSize(bytes);
  placeNode(target, join(folder, 'lib'));
  writeExecutables(folder);
  copyFileSync(fromRoot('LICENSE'), join(folder, 'LICENSE'));
  const packages = writeLicences(metafile, join(folder, 'THIRD-PARTY-LICENSES'));
  return `${target}: bundle ${(bytes / 1e6).toFixed(2)} MB from ${packages} packages`;
}

if (import.meta.main) {
  const wanted = process.argv.includes('--host') ? [hostTarget] : targets;
  for (const target of wanted) process.stdout.write(`${await assemble(target)}\n`);
}

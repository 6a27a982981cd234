// Writes THIRD-PARTY-LICENSES: the licence text of every package whose code is in the bundle (read from esbuild's metafile,
// so nothing is listed that is not shipped), of Node itself, and of Dapr for the protocol definitions.

import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Metafile } from 'esbuild';
import { fromRoot, nodeModules } from './paths.ts';
import { hostTarget, nodePackageOf } from './targets.ts';

const PACKAGE = /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//;
const LICENCE_FILE = /^(licen[cs]e|copying|notice)/i;

function packageFolders(metafile: Metafile): string[] {
  const folders = new Set<string>();
  for (const output of Object.values(metafile.outputs)) {
    for (const input of Object.keys(output.inputs)) {
      const folder = PACKAGE.exec(input)?.[1];
      if (folder !== undefined) folders.add(fromRoot(folder));
    }
  }
  return [...folders].sort();
}

function section(folder: string): string {
  const manifest: { name: string; version: string; license?: string } = JSON.parse(
    readFileSync(join(folder, 'package.json'), 'utf8'),
  );
  const texts = readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isFile() && LICENCE_FILE.test(entry.name))
    .map((entry) => readFileSync(join(folder, entry.name), 'utf8').trim());
  const title = `${manifest.name} ${manifest.version} (${manifest.license ?? 'see below'})`;
  return [title, '='.repeat(title.length), ...texts].join('\n\n');
}

function usesDaprProtos(metafile: Metafile): boolean {
  return Object.keys(metafile.inputs).some((input) => input.includes('runtime/generated/dapr/'));
}

/** Writes the file for one bundle and returns how many packages it names. Node's text is the same on every CPU. */
export function writeLicences(metafile: Metafile, file: string): number {
  const folders = packageFolders(metafile);
  folders.push(join(nodeModules, nodePackageOf(hostTarget)));
  if (usesDaprProtos(metafile)) folders.push(join(nodeModules, '@dapr/dapr'));
  writeFileSync(file, `${folders.map(section).join('\n\n\n')}\n`);
  return folders.length;
}

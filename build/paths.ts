// Where things are inside the clone. Every build script takes its places from here; nothing depends on the caller's folder.

import { join, resolve } from 'node:path';

const root = resolve(import.meta.dirname, '..');

/** Absolute path of something given relative to the clone. */
export function fromRoot(path: string): string {
  return join(root, path);
}

export const nodeModules: string = fromRoot('node_modules');

/** Downloads and intermediate files; safe to delete. */
export const cacheDir: string = fromRoot('build/.cache');

/** The built package of one target. */
export function outDir(target: string): string {
  return fromRoot(join('build/out', target));
}

// The machines we build for, and what differs between them.

import { readFileSync } from 'node:fs';
import { fromRoot } from './paths.ts';

export type Target = 'linux-x64' | 'linux-arm64';

export const targets: readonly Target[] = ['linux-x64', 'linux-arm64'];

export const hostTarget: Target = process.arch === 'arm64' ? 'linux-arm64' : 'linux-x64';

/** The npm package whose bin/node a target runs on. */
export function nodePackageOf(target: Target): string {
  return `node-${target}`;
}

/** Version and integrity that package-lock.json records for a package. */
export interface LockedPackage {
  readonly version: string;
  readonly integrity: string;
}

export function lockedPackage(name: string): LockedPackage {
  const lock: { packages: Record<string, LockedPackage> } = JSON.parse(
    readFileSync(fromRoot('package-lock.json'), 'utf8'),
  );
  const entry = lock.packages[`node_modules/${name}`];
  if (entry === undefined) throw new Error(`package-lock.json does not know ${name}`);
  return entry;
}

/** The version of Skerry itself. */
export function productVersion(): string {
  return JSON.parse(readFileSync(fromRoot('package.json'), 'utf8')).version;
}

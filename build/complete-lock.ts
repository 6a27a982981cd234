// Run by hand after a change of dependencies: adds the entries that package-lock.json lacks for other platforms.
//
// Some registries carry the optional binary packages only for some systems. npm then leaves the others out of the lock file,
// and its own `npm ci` refuses that file. An entry with version and platform satisfies it; nothing of another platform is
// ever downloaded. cbor-extract's native addons get a platform that does not exist, so that they are never installed:
// cbor-x does without them, and development should run what the bundle runs.

import { readFileSync, writeFileSync } from 'node:fs';
import { fromRoot } from './paths.ts';

interface LockEntry {
  version: string;
  cpu?: string[];
  os?: string[];
  libc?: string[];
  dev?: boolean;
  optional?: boolean;
  optionalDependencies?: Record<string, string>;
}

const PLATFORM = /(android|darwin|linux|win32|freebsd|openbsd|netbsd|sunos|aix)-(?:musl-?)?([a-z0-9]+)/;

function entryFor(name: string, version: string, dev: boolean): LockEntry {
  const [, os = 'none', cpu = 'none'] = name.startsWith('@cbor-extract/') ? [] : (PLATFORM.exec(name) ?? []);
  return {
    version,
    cpu: [cpu === 'armv7' ? 'arm' : cpu],
    ...(dev ? { dev } : {}),
    ...(name.includes('musl') ? { libc: ['musl'] } : {}),
    optional: true,
    os: [os],
  };
}

const file = fromRoot('package-lock.json');
const lock: { packages: Record<string, LockEntry> } = JSON.parse(readFileSync(file, 'utf8'));
const added: Record<string, LockEntry> = {};
for (const [path, { optionalDependencies = {}, dev = false }] of Object.entries(lock.packages)) {
  for (const [name, version] of Object.entries(optionalDependencies)) {
    const known = [`node_modules/${name}`, `${path}/node_modules/${name}`].some((at) => at in lock.packages);
    if (!known) added[`node_modules/${name}`] = entryFor(name, version, dev);
  }
}
const packages = Object.fromEntries(
  Object.entries({ ...lock.packages, ...added }).sort(([a], [b]) => a.localeCompare(b, 'en')),
);
writeFileSync(file, `${JSON.stringify({ ...lock, packages }, undefined, 2)}\n`);
process.stdout.write(`${Object.keys(added).length} entries added to package-lock.json\n`);

/** A control group of its own with a bound on memory, version 2 or 1, where this user may make one. */

import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { errorText } from '../../runtime/contracts/error.ts';

export interface MemoryCgroup {
  readonly kind: string;
  /** The file that takes process ids. */
  readonly processes: string;
  /** Times that the kernel killed for want of memory. */
  kills(): number;
  remove(): void;
}

const ROOT = '/sys/fs/cgroup';

interface Version {
  readonly kind: string;
  readonly parent: string;
  readonly limit: string;
  readonly kills: { readonly file: string; readonly pattern: RegExp };
  /** Lets children of the parent have memory bounds. */
  readonly prepare?: () => void;
}

const VERSIONS: readonly Version[] = [
  {
    kind: 'cgroup v2',
    parent: ROOT,
    limit: 'memory.max',
    kills: { file: 'memory.events', pattern: /^oom_kill (\d+)/m },
    prepare: () => writeFileSync(join(ROOT, 'cgroup.subtree_control'), '+memory'),
  },
  {
    kind: 'cgroup v1',
    parent: join(ROOT, 'memory'),
    limit: 'memory.limit_in_bytes',
    kills: { file: 'memory.oom_control', pattern: /^oom_kill (\d+)/m },
  },
];

/** The group, or why there is none. */
export function memoryCgroup(bytes: number): MemoryCgroup | { readonly missing: string } {
  const version = VERSIONS.find(({ kind, parent }) =>
    existsSync(join(parent, kind === 'cgroup v2' ? 'cgroup.controllers' : 'memory.limit_in_bytes')),
  );
  if (version === undefined) return { missing: `there is no memory controller below ${ROOT}` };
  const folder = join(version.parent, `skerry-soak-${process.pid}`);
  try {
    version.prepare?.();
    mkdirSync(folder);
    writeFileSync(join(folder, version.limit), String(bytes));
  } catch (error) {
    return { missing: errorText(error) };
  }
  return {
    kind: version.kind,
    processes: join(folder, 'cgroup.procs'),
    kills: () => {
      const text = readFileSync(join(folder, version.kills.file), 'utf8');
      return Number(version.kills.pattern.exec(text)?.[1] ?? 0);
    },
    remove: () => {
      try {
        rmdirSync(folder);
      } catch {
        // A process is still ending in it; an empty group costs nothing.
      }
    },
  };
}

// Writes the commands `daprd` and `skerry`: shell scripts that find their own folder and become Node.
//
// `exec` keeps the process id, so signals and exit codes are the program's own. The Node binary is called through a link of
// the program's name. Only shell built-ins are used unless the command was called through a symbolic link, so an empty
// environment is enough.

import { chmodSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export const programs: readonly string[] = ['daprd', 'skerry'];

/** Flags for every start of Node. Measure before adding one. */
const NODE_FLAGS = '--disable-warning=ExperimentalWarning --max-semi-space-size=$semi';

/**
 * The young generation: 16 MB halves save a seventh of the CPU time of invocations and cost up to 25 MB under load, nothing
 * at rest. Where memory is short (below 1.5 GB in the machine, or half a GB for the control group of the process, of version 2
 * or 1), 4 MB.
 */
const SEMI_SPACE = `semi=16
read -r name kb unit 2>/dev/null </proc/meminfo && [ "\${kb:-0}" -lt 1500000 ] && semi=4
limits=$(while IFS=: read -r id kind path; do case $id:$kind in
  0:*) echo "/sys/fs/cgroup$path/memory.max" ;;
  *:*memory*) echo "/sys/fs/cgroup/memory$path/memory.limit_in_bytes" ;;
esac; done 2>/dev/null </proc/self/cgroup)
for file in $limits /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes; do
  { read -r most <"$file"; } 2>/dev/null || continue
  case $most in max | '') ;; *) [ "$most" -lt 536870912 ] && semi=4 ;; esac
done`;

/**
 * `MALLOC_ARENA_MAX=1` keeps glibc from giving each thread a heap of its own (8 MB less at rest, measured); main.ts takes
 * the variable out of the environment again, so that apps and secret stores never see it.
 */
function launcher(program: string): string {
  return `#!/bin/sh
# ${program}: starts Skerry on the Node that lies in lib/ beside this file.
self=$0
case $self in */*) ;; *) self=./$self ;; esac
while [ -L "$self" ]; do
  target=$(PATH=/usr/bin:/bin readlink "$self")
  case $target in /*) self=$target ;; *) self=\${self%/*}/$target ;; esac
done
lib=\${self%/*}/lib
${SEMI_SPACE}
MALLOC_ARENA_MAX=1 exec "$lib/${program}" ${NODE_FLAGS} "$lib/skerry.cjs" ${program} "$@"
`;
}

/** Writes both commands into `folder` and their links into `folder`/lib. */
export function writeExecutables(folder: string): void {
  mkdirSync(join(folder, 'lib'), { recursive: true });
  for (const program of programs) {
    const file = join(folder, program);
    writeFileSync(file, launcher(program));
    chmodSync(file, 0o755);
    const link = join(folder, 'lib', program);
    rmSync(link, { force: true });
    symlinkSync('node', link);
  }
}

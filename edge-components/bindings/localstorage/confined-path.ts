/**
 * Names of files confined to one folder. A name is relative, must not climb out with `..`, and no symbolic link on its
 * way may lead outside: what a name means is decided on the resolved path, and that is the path that is used.
 */

import { lstat, mkdir, realpath, stat } from 'node:fs/promises';
import { basename, dirname, isAbsolute, join, normalize, relative, resolve, sep } from 'node:path';

/** Places where no application data belongs. */
const DISALLOWED: readonly string[] = ['/proc', '/sys', '/boot', '/var/run/secrets', '/run/secrets'];

export interface ConfinedPath {
  /** Absolute and free of symbolic links as far as it exists. */
  readonly absolute: string;
  /** From the root, as clients see it. */
  readonly relative: string;
}

function isInside(root: string, path: string): boolean {
  return path === root || path.startsWith(root.endsWith(sep) ? root : root + sep);
}

/** The resolved root folder, created when it is missing. */
export async function openRoot(rootPath: string): Promise<string> {
  const wanted = resolve(rootPath);
  const { path: existing, rest } = await resolveExisting(wanted);
  const target = join(existing, rest);
  if (DISALLOWED.some((place) => isInside(place, target)))
    throw new Error("metadata item 'rootPath': points to a disallowed location");
  await mkdir(target, { recursive: true }).catch((error: NodeJS.ErrnoException) => {
    throw new Error(
      error.code === 'EEXIST' || error.code === 'ENOTDIR'
        ? `metadata item 'rootPath': ${target} is a file and not a folder`
        : `metadata item 'rootPath': unable to create ${target}: ${error.message}`,
    );
  });
  if (!(await stat(target)).isDirectory())
    throw new Error(`metadata item 'rootPath': ${target} is a file and not a folder`);
  return await realpath(target);
}

/** Resolves `name` below `root` (a path from `openRoot`); rejects names that lead outside. */
export async function confine(root: string, name: string): Promise<ConfinedPath> {
  if (name.includes('\0')) throw new Error(`invalid fileName '${name.replaceAll('\0', '\\0')}'`);
  if (isAbsolute(name)) throw new Error(`invalid fileName '${name}': must be relative to rootPath`);
  const clean = normalize(name);
  if (clean === '..' || clean.startsWith(`..${sep}`))
    throw new Error(`invalid fileName '${name}': leads outside of rootPath`);
  const { path: existing, rest } = await resolveExisting(resolve(root, clean));
  if (!isInside(root, existing)) throw new Error(`invalid fileName '${name}': leads outside of rootPath`);
  const absolute = rest === '' ? existing : join(existing, rest);
  return { absolute, relative: relative(root, absolute) };
}

/** The deepest part of `path` that exists, resolved, and the rest of it. A link to nowhere is refused. */
async function resolveExisting(path: string): Promise<{ path: string; rest: string }> {
  let at = path;
  let rest = '';
  for (;;) {
    try {
      return { path: await realpath(at), rest };
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      if (code === 'ENOTDIR') throw new Error(`${path}: a part of this path is not a folder`);
      if (code !== 'ENOENT') throw new Error(message);
    }
    // Something that exists and still cannot be resolved is a link whose target is missing.
    const dangling = await lstat(at).then(
      () => true,
      () => false,
    );
    if (dangling) throw new Error(`${at} is a symbolic link to nowhere`);
    rest = join(basename(at), rest);
    at = dirname(at);
  }
}

/**
 * Whether an open database file is still the one that its path leads to. A disk that was unmounted, or a folder that was
 * moved or removed, leaves a process writing into a file that nobody will find again, and every call succeeds. Asking
 * twice per commit costs a few microseconds.
 */

import { closeSync, fstatSync, openSync, type Stats, statSync } from 'node:fs';
import { type FailureRecord, FILE_AWAY, FILE_REPLACED } from './database-errors.ts';

/** Linux: a descriptor that only names a file. Closing it leaves alone the locks that SQLite holds on the file. */
const O_PATH = 0o10000000;

interface Held {
  readonly path: string;
  /** Undefined where the system has no such descriptors. */
  readonly file: number | undefined;
  device: number;
  inode: number;
}

/** The files of one connection, from its opening on. */
export class FilePlace {
  readonly #held: readonly Held[];
  #doubtful = false;

  /** `paths`: those of them that exist. */
  constructor(paths: readonly string[]) {
    this.#held = paths.flatMap((path) => hold(path) ?? []);
  }

  /**
   * Why nothing may be answered as kept; undefined while every file is at its place. A file that is merely out of reach
   * may come back and is waited for; one that was deleted, or has another in its place, will not.
   */
  fault(): FailureRecord | undefined {
    for (const held of this.#held) {
      const found = statSync(held.path, { throwIfNoEntry: false });
      if (found?.ino === held.inode && found.dev === held.device && !this.#doubtful) continue;
      const fault = this.#faultOf(held, found);
      if (fault !== undefined) return fault;
    }
    return undefined;
  }

  /** A commit went to files that then turned out to be away: whether it is kept, only opening them anew can tell. */
  doubt(): void {
    this.#doubtful = true;
  }

  close(): void {
    for (const { file } of this.#held) if (file !== undefined) closeSync(file);
  }

  #faultOf(held: Held, found: Stats | undefined): FailureRecord | undefined {
    const own = held.file === undefined ? undefined : fstatSync(held.file);
    if (found === undefined) {
      if (own?.nlink === 0) return { code: FILE_REPLACED, message: `${held.path} was deleted` };
      const message = `${held.path} is not at its place: its disk was unmounted or its folder was moved`;
      return { code: FILE_AWAY, message };
    }
    // Some network file systems number a file anew while it is open.
    const same = own !== undefined && own.ino === found.ino && own.dev === found.dev;
    if (same && !this.#doubtful) {
      held.device = found.dev;
      held.inode = found.ino;
      return undefined;
    }
    const message = same
      ? `${held.path} was away while it was written to`
      : `${held.path} is another file than the one that was opened`;
    return { code: FILE_REPLACED, message };
  }
}

function hold(path: string): Held | undefined {
  const found = statSync(path, { throwIfNoEntry: false });
  if (found === undefined) return undefined;
  return { path, file: nameOnly(path), device: found.dev, inode: found.ino };
}

function nameOnly(path: string): number | undefined {
  if (process.platform !== 'linux') return undefined;
  try {
    return openSync(path, O_PATH);
  } catch {
    return undefined;
  }
}

/**
 * Watches resource folders: tells when something in them changed, once things have calmed down, and in any case once per
 * interval, because file events can get lost (network file systems, a full event queue).
 */

import { statSync, watch } from 'node:fs';
import type { Clock, Timer } from '../contracts/clock.ts';
import { errorText } from '../contracts/error.ts';
import type { Logger } from '../contracts/logger.ts';

export interface FolderWatchOptions {
  readonly directories: readonly string[];
  readonly clock: Clock;
  readonly log: Logger;
  /** Longest time between two calls of `changed`. */
  readonly intervalMs: number;
  readonly changed: () => void;
  /** Replaces the file system in tests. */
  readonly files?: FolderEvents;
}

export interface FolderEvents {
  /** Calls `event` for whatever happens in `directory`; throws when it cannot be watched. */
  watch(directory: string, event: () => void, failed: (error: Error) => void): { close(): void };
  /** Tells one folder from another of the same name; `undefined` when there is none. */
  identity(directory: string): string | undefined;
}

export interface FolderWatch {
  close(): void;
}

/** Saving a file makes several events (emptied, written, closed); only the end of them is worth a look. */
const CALM_MS = 20;
/** A folder that is never calm is looked at all the same. */
const MAX_GATHER_MS = 500;

const realFiles: FolderEvents = {
  watch: (directory, event, failed) => {
    const watcher = watch(directory, { persistent: false }, event);
    watcher.on('error', failed);
    return watcher;
  },
  identity: (directory) => {
    const stats = statSync(directory, { throwIfNoEntry: false });
    return stats === undefined ? undefined : `${stats.dev}:${stats.ino}`;
  },
};

/** Starts watching; throws when a folder cannot be watched. */
export function watchFolders(options: FolderWatchOptions): FolderWatch {
  const { clock, log } = options;
  const files = options.files ?? realFiles;
  const open = new Map<string, { readonly identity: string | undefined; close(): void }>();
  let calm: Timer | undefined;
  let gatheringSince: number | undefined;
  let closed = false;

  const close = (): void => {
    closed = true;
    calm?.cancel();
    interval.cancel();
    for (const watcher of open.values()) watcher.close();
    open.clear();
  };
  const watchOne = (directory: string): void => {
    const identity = files.identity(directory);
    const watcher = files.watch(directory, gather, (error) => {
      log.warn(`watching ${directory} failed: ${errorText(error)}; it is read again at the next interval`);
      watcher.close();
      open.delete(directory);
    });
    open.set(directory, { identity, close: () => watcher.close() });
  };
  /** Another folder may have taken the place of a watched one; a watcher stays with the old one. */
  const watchAgain = (): void => {
    for (const directory of options.directories) {
      const watcher = open.get(directory);
      const identity = files.identity(directory);
      if (identity === undefined || (watcher !== undefined && watcher.identity === identity)) continue;
      watcher?.close();
      open.delete(directory);
      try {
        watchOne(directory);
      } catch (error) {
        log.warn(`${directory} cannot be watched again: ${errorText(error)}`);
      }
    }
  };
  const look = (): void => {
    if (closed) return;
    calm?.cancel();
    gatheringSince = undefined;
    watchAgain();
    options.changed();
  };
  const gather = (): void => {
    if (closed) return;
    const now = clock.monotonicMs();
    gatheringSince ??= now;
    calm?.cancel();
    calm = clock.startTimer(Math.min(CALM_MS, gatheringSince + MAX_GATHER_MS - now), look, true);
  };
  const startInterval = (): Timer =>
    clock.startTimer(
      options.intervalMs,
      () => {
        interval = startInterval();
        look();
      },
      true,
    );

  let interval = startInterval();
  for (const directory of options.directories) {
    try {
      watchOne(directory);
    } catch (error) {
      close();
      throw new Error(`failed to create watcher: failed to add target ${directory}: ${errorText(error)}`);
    }
  }
  return { close };
}

/**
 * Creates the database file before SQLite does, so that only its owner may read it; SQLite gives the journal files the
 * same mode. An existing file is left alone: opening and closing it here would drop the locks that SQLite holds on it.
 */

import { closeSync, existsSync, fsyncSync, mkdirSync, openSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { databaseError, failureRecord } from './database-errors.ts';

/** Creates `path` with mode 0600 when it does not exist and makes its directory entry durable. */
export async function createDatabaseFile(path: string): Promise<void> {
  try {
    const file = await open(path, 'wx', 0o600);
    await file.close();
  } catch (error) {
    const failure = failureRecord(error);
    if (failure.code !== 'EEXIST') throw databaseError(path, failure, error);
  }
  // Also when it was there: whoever made it may have been killed before this.
  try {
    const directory = await open(dirname(path), 'r');
    try {
      await directory.sync();
    } finally {
      await directory.close();
    }
  } catch (error) {
    const failure = failureRecord(error);
    // A folder on a read-only disk cannot be synced and need not be; opening the file says what is wrong.
    if (failure.code !== 'EROFS' && failure.code !== 'EINVAL' && failure.code !== 'EACCES')
      throw databaseError(path, failure, error);
  }
}

/**
 * Makes the folder for a database that is not there yet, so that it survives a power cut: a new folder is certain only
 * once the folder above it is synced, and that one may be just as new.
 */
export function createDurableFolder(folder: string, database: string): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  if (existsSync(join(folder, database))) return;
  for (let at = resolve(folder); at !== dirname(at); at = dirname(at)) {
    try {
      const directory = openSync(dirname(at), 'r');
      try {
        fsyncSync(directory);
      } finally {
        closeSync(directory);
      }
    } catch {
      // A folder that may not be read or synced is none that was made here.
      return;
    }
  }
}

/**
 * One process per data folder: queues and sessions in it belong to who opened it. The lock is SQLite's own on a file
 * beside the database, so it vanishes with the process however that ends.
 */

import { join } from 'node:path';
import Database from 'better-sqlite3';

export interface FolderLock {
  release(): void;
}

/** Takes the lock, or throws an error that names the folder. */
export function lockFolder(directory: string): FolderLock {
  const database = new Database(join(directory, 'lock.db'), { timeout: 0 });
  try {
    database.exec('BEGIN EXCLUSIVE');
  } catch (cause) {
    database.close();
    throw new Error(
      `the data folder ${directory} is in use by another process; choose another with --data-dir`,
      { cause },
    );
  }
  return { release: () => void database.close() };
}

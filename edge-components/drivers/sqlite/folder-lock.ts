/**
 * One process per data folder: queues and sessions in it belong to who opened it. The lock is SQLite's own on a file
 * beside the database, so it vanishes with the process however that ends.
 */

import { rmSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { failureRecord } from './database-errors.ts';

export interface FolderLock {
  release(): void;
}

/** Takes the lock, or throws an error that names the folder. */
export function lockFolder(directory: string): FolderLock {
  const path = join(directory, 'lock.db');
  try {
    return lock(path);
  } catch (error) {
    // The file holds nothing; what damage made of it may go.
    if (!/^SQLITE_(?:NOTADB|CORRUPT)/.test(failureRecord(error).code)) throw inUse(directory, error);
    rmSync(path, { force: true });
  }
  try {
    return lock(path);
  } catch (error) {
    throw inUse(directory, error);
  }
}

function lock(path: string): FolderLock {
  const database = new Database(path, { timeout: 0 });
  try {
    database.exec('BEGIN EXCLUSIVE');
  } catch (cause) {
    database.close();
    throw cause;
  }
  return { release: () => void database.close() };
}

function inUse(directory: string, cause: unknown): Error {
  const { code, message } = failureRecord(cause);
  if (!code.startsWith('SQLITE_BUSY'))
    return new Error(`the data folder ${directory} cannot be used: ${message}`, { cause });
  const text = `the data folder ${directory} is in use by another process; choose another with --data-dir`;
  return new Error(text, { cause });
}

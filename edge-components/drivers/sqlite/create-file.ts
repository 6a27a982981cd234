/**
 * Creates the database file before SQLite does, so that only its owner may read it; SQLite gives the journal files the
 * same mode. An existing file is left alone: opening and closing it here would drop the locks that SQLite holds on it.
 */

import { open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { databaseError, failureRecord } from './database-errors.ts';

/** Creates `path` with mode 0600 when it does not exist and makes its directory entry durable. */
export async function createDatabaseFile(path: string): Promise<void> {
  try {
    const file = await open(path, 'wx', 0o600);
    await file.close();
    const directory = await open(dirname(path), 'r');
    try {
      await directory.sync();
    } finally {
      await directory.close();
    }
  } catch (error) {
    const failure = failureRecord(error);
    if (failure.code === 'EEXIST') return;
    throw databaseError(path, failure, error);
  }
}

/** SQLite's refusals as `DatabaseError`, with the file named and the common causes in words. */

import { DatabaseError } from '../../../runtime/contracts/database.ts';
import { errorText } from '../../../runtime/contracts/error.ts';

/** The file is out of reach and nothing was written; it may come back. */
export const FILE_AWAY = 'SKERRY_FILE_AWAY';

/** The file was deleted or has another in its place: only opening it anew helps. */
export const FILE_REPLACED = 'SKERRY_FILE_REPLACED';

/** What crosses the thread boundary of a failure. */
export interface FailureRecord {
  readonly code: string;
  readonly message: string;
}

/** Code and text of whatever better-sqlite3 (or Node) threw. */
export function failureRecord(error: unknown): FailureRecord {
  const code = error instanceof Error && 'code' in error ? String(error.code) : 'SQLITE_ERROR';
  return { code, message: errorText(error) };
}

/** True when another connection or process holds the file and a later attempt may pass. */
export function isBusy(code: string): boolean {
  return code.startsWith('SQLITE_BUSY') || code.startsWith('SQLITE_LOCKED');
}

/** A `DatabaseError` that names the file. */
export function databaseError(path: string, failure: FailureRecord, cause?: unknown): DatabaseError {
  const options = cause === undefined ? undefined : { cause };
  return new DatabaseError(failure.code, `${headline(failure.code)} '${path}': ${failure.message}`, options);
}

function headline(code: string): string {
  if (code.startsWith('SQLITE_CORRUPT') || code.startsWith('SQLITE_NOTADB')) return 'corrupt database file';
  if (code.startsWith('SQLITE_CANTOPEN') || code === 'ENOENT' || code === 'EACCES') {
    return 'cannot open database file';
  }
  if (code.startsWith('SQLITE_READONLY') || code === 'EROFS') return 'cannot write database file';
  if (code.startsWith('SQLITE_FULL') || code === 'ENOSPC') return 'no space left for database file';
  if (code === FILE_AWAY || code === FILE_REPLACED) return 'cannot reach database file';
  return 'database file';
}

/** The calling thread's read-only connection to a file. In WAL mode its queries never wait for the writer. */

import Database from 'better-sqlite3';
import type { SqlValue } from '../../../runtime/contracts/database.ts';
import { databaseError, failureRecord } from './database-errors.ts';
import { StatementCache } from './statement-cache.ts';

/** Opens an existing file for reading. */
export class ReadConnection {
  readonly #path: string;
  readonly #connection: Database.Database;
  readonly #statements: StatementCache;

  constructor(path: string, busyTimeoutMs: number) {
    this.#path = path;
    try {
      this.#connection = new Database(path, { readonly: true, fileMustExist: true, timeout: busyTimeoutMs });
      this.#connection.pragma('cache_size = -2000');
    } catch (error) {
      throw databaseError(path, failureRecord(error), error);
    }
    this.#statements = new StatementCache(this.#connection);
  }

  read(sql: string, params: readonly SqlValue[] = []): readonly Readonly<Record<string, SqlValue>>[] {
    try {
      return this.#statements.get(sql).all(...(params as SqlValue[]));
    } catch (error) {
      throw databaseError(this.#path, failureRecord(error), error);
    }
  }

  close(): void {
    this.#connection.close();
  }
}

/**
 * Prepared statements by SQL text. Preparing costs more than running a short statement, and the texts are few; the
 * least recently used one leaves when a caller builds texts on the fly.
 */

import type Database from 'better-sqlite3';
import type { SqlValue } from '../../../runtime/contracts/database.ts';

export type Statement = Database.Statement<SqlValue[], Readonly<Record<string, SqlValue>>>;

const MAX_STATEMENTS = 200;

/** Looks up or prepares statements of one connection. */
export class StatementCache {
  readonly #connection: Database.Database;
  readonly #statements = new Map<string, Statement>();
  #latest: { readonly sql: string; readonly statement: Statement } | undefined;

  constructor(connection: Database.Database) {
    this.#connection = connection;
  }

  get(sql: string): Statement {
    if (this.#latest?.sql === sql) return this.#latest.statement;
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = this.#connection.prepare<SqlValue[], Readonly<Record<string, SqlValue>>>(sql);
      if (this.#statements.size >= MAX_STATEMENTS) {
        for (const oldest of this.#statements.keys()) {
          this.#statements.delete(oldest);
          break;
        }
      }
    } else {
      this.#statements.delete(sql);
    }
    this.#statements.set(sql, statement);
    this.#latest = { sql, statement };
    return statement;
  }
}

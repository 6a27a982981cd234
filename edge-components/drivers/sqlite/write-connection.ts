/**
 * One read-write connection and the group commit on it: many writes, one transaction, one fsync. Lives in the writer
 * thread for files and on the calling thread for `:memory:`.
 *
 * Invariants: a write is applied whole or not at all; a refused write takes no other one with it; nothing is answered
 * as done before COMMIT returned and the file was still where its path leads to.
 */

import Database from 'better-sqlite3';
import type { Durability, Migration, SqlStep, SqlValue } from '../../../runtime/contracts/database.ts';
import { type FailureRecord, FILE_REPLACED, failureRecord } from './database-errors.ts';
import { FilePlace } from './file-place.ts';
import { migrate } from './migrate.ts';
import { PAGE_SIZE } from './page-size.ts';
import { copySchema } from './schema-copy.ts';
import { StatementCache } from './statement-cache.ts';

export interface WriteConnectionOptions {
  readonly path: string;
  readonly wal: boolean;
  readonly busyTimeoutMs: number;
  /** The node's own file: nobody else's, so it may be replaced when it is damaged. */
  readonly own?: boolean;
  readonly durability?: Durability;
}

/** Result of one step: the number of changes, with rows where they were asked for. */
export type StepOutcome =
  | number
  | { readonly changes: number; readonly rows: Readonly<Record<string, SqlValue>>[] };

/** Result of one write. `refused` is the index of the step whose `atLeast` was not met. */
export type WriteOutcome =
  | readonly StepOutcome[]
  | { readonly refused: number }
  | { readonly failure: FailureRecord };

/** SQLite's number for it. */
const INCREMENTAL = 2;
const KEEP_FREE_BYTES = 8 * 1024 * 1024;
const VACUUM_BYTES = 2 * 1024 * 1024;

/**
 * Size at which the WAL is copied into the file, and what of it stays allocated: a page that changes all the time is
 * copied once per this many bytes.
 */
const WAL_BYTES = 4 * 1024 * 1024;

/** The file is no longer where its path leads to. */
class NotAtItsPlace extends Error {
  readonly code: string;
  constructor({ code, message }: FailureRecord) {
    super(message);
    this.code = code;
  }
}

/** Everything before it in the transaction is gone as well (SQLite rolled back by itself, as on a full disk). */
class TransactionLost extends Error {}

class Refused extends Error {
  readonly stepIndex: number;
  constructor(stepIndex: number) {
    super('refused');
    this.stepIndex = stepIndex;
  }
}

/** A connection that applies groups of writes. */
export class WriteConnection {
  readonly #options: WriteConnectionOptions;
  readonly #connection: Database.Database;
  readonly #statements: StatementCache;
  #place: FilePlace | undefined;

  constructor(options: WriteConnectionOptions) {
    this.#options = options;
    this.#connection = new Database(options.path, { timeout: options.busyTimeoutMs });
    this.#statements = new StatementCache(this.#connection);
    try {
      this.#configure(options);
      if (options.path !== ':memory:') this.#place = new FilePlace([options.path, `${options.path}-wal`]);
    } catch (error) {
      this.#connection.close();
      throw error;
    }
  }

  #configure(options: WriteConnectionOptions): void {
    const connection = this.#connection;
    connection.pragma('cache_size = -4000');
    // Savepoints would otherwise write their undo pages to temporary files.
    connection.pragma('temp_store = MEMORY');
    if (options.path === ':memory:') return;
    // Both take effect in a file without tables only; older files stay as they are.
    connection.pragma(`page_size = ${PAGE_SIZE}`);
    if (options.own === true) connection.pragma('auto_vacuum = INCREMENTAL');
    connection.pragma(`journal_mode = ${options.wal ? 'WAL' : 'DELETE'}`);
    // FULL syncs the WAL at every commit; a rollback journal needs EXTRA for its removal to survive a power cut.
    // NORMAL leaves the syncing to checkpoints: the file stays whole, its last commits may be lost.
    const always = options.wal ? 'FULL' : 'EXTRA';
    connection.pragma(`synchronous = ${options.durability === 'relaxed' ? 'NORMAL' : always}`);
    connection.pragma(`journal_size_limit = ${WAL_BYTES}`);
    connection.pragma(`wal_autocheckpoint = ${WAL_BYTES / this.pageSize()}`);
    // SQLite silently opens a file it may not write as read-only; the lock tells at once.
    connection.exec('BEGIN IMMEDIATE');
    connection.exec('ROLLBACK');
  }

  migrate(migrations: readonly Migration[]): void {
    const own = this.#options.own === true;
    this.#mustBeAtItsPlace();
    migrate(this.#connection, migrations, { own });
    if (own) copySchema(this.#options.path, this.#connection);
  }

  /** The first fault of the whole file, in SQLite's words. */
  integrity(): string | undefined {
    const result = this.#connection.pragma('integrity_check(1)', { simple: true });
    return result === 'ok' ? undefined : String(result);
  }

  pageSize(): number {
    return Number(this.#connection.pragma('page_size', { simple: true }));
  }

  /** Pages that the database has, those in the WAL included. */
  pageCount(): number {
    return Number(this.#connection.pragma('page_count', { simple: true }));
  }

  /**
   * Gives space of deleted rows back to the disk, a little at a time; true when there is more to give. Space that will
   * be used again soon is kept: moving pages about wears the card.
   */
  giveBack(): boolean {
    if (this.#connection.pragma('auto_vacuum', { simple: true }) !== INCREMENTAL) return false;
    const free = Number(this.#connection.pragma('freelist_count', { simple: true })) * this.pageSize();
    if (free < KEEP_FREE_BYTES) return false;
    this.#connection.pragma(`incremental_vacuum(${VACUUM_BYTES / this.pageSize()})`);
    if (free - VACUUM_BYTES >= KEEP_FREE_BYTES) return true;
    // Only now does the file itself become shorter.
    this.#connection.pragma('wal_checkpoint(PASSIVE)');
    return false;
  }

  read(sql: string, params: readonly SqlValue[]): Readonly<Record<string, SqlValue>>[] {
    return this.#statements.get(sql).all(...params);
  }

  close(): void {
    this.#connection.close();
    this.#place?.close();
    this.#place = undefined;
  }

  /** Applies all writes in one transaction; the outcome of each, in order. */
  apply(writes: readonly (readonly SqlStep[])[]): WriteOutcome[] {
    const outcomes: WriteOutcome[] = [];
    try {
      this.#statements.get('BEGIN IMMEDIATE').run();
      for (const steps of writes) outcomes.push(this.#applyWrite(steps));
      this.#mustBeAtItsPlace();
      this.#statements.get('COMMIT').run();
      // It may have been taken away while the commit was on its way.
      this.#mustBeAtItsPlace(true);
      return outcomes;
    } catch (error) {
      // A file that is away is the reason for whatever else SQLite or the system had to say.
      const away = this.#place?.fault();
      const failure = away ?? failureRecord(error instanceof TransactionLost ? error.cause : error);
      this.#abandon();
      if (failure.code === FILE_REPLACED) this.#foldLog();
      // Refusals stay what they were; everything else of the group is not on disk.
      return writes.map((_, index) => {
        const outcome = outcomes[index];
        const refusal = away === undefined && outcome !== undefined && !Array.isArray(outcome);
        return refusal ? outcome : { failure };
      });
    }
  }

  /** When only the log was deleted, the file itself still takes what was in it. */
  #foldLog(): void {
    try {
      this.#connection.pragma('wal_checkpoint(PASSIVE)');
    } catch {
      // Nothing more can be done for these files.
    }
  }

  #mustBeAtItsPlace(committed = false): void {
    const failure = this.#place?.fault();
    if (failure === undefined) return;
    if (committed) this.#place?.doubt();
    throw new NotAtItsPlace(failure);
  }

  #abandon(): void {
    if (this.#connection.inTransaction) this.#statements.get('ROLLBACK').run();
  }

  #applyWrite(steps: readonly SqlStep[]): WriteOutcome {
    // One statement undoes itself when it fails, so it needs no savepoint unless it could be refused half done.
    const guarded = steps.length > 1 || (steps[0]?.atLeast ?? 0) > 1;
    if (guarded) this.#statements.get('SAVEPOINT w').run();
    try {
      const results: StepOutcome[] = [];
      for (let index = 0; index < steps.length; index += 1) {
        results.push(this.#applyStep(steps[index] as SqlStep, index));
      }
      if (guarded) this.#statements.get('RELEASE w').run();
      return results;
    } catch (error) {
      if (!this.#connection.inTransaction) throw new TransactionLost('transaction lost', { cause: error });
      if (guarded) {
        this.#statements.get('ROLLBACK TO w').run();
        this.#statements.get('RELEASE w').run();
      }
      return error instanceof Refused ? { refused: error.stepIndex } : { failure: failureRecord(error) };
    }
  }

  #applyStep(step: SqlStep, index: number): StepOutcome {
    const statement = this.#statements.get(step.sql);
    const params = (step.params ?? []) as SqlValue[];
    if (!statement.reader) {
      const changes = statement.run(...params).changes;
      if (step.atLeast !== undefined && changes < step.atLeast) throw new Refused(index);
      return changes;
    }
    const rows = statement.all(...params);
    if (step.atLeast !== undefined && rows.length < step.atLeast) throw new Refused(index);
    return step.fetch === 'all' ? { changes: rows.length, rows } : rows.length;
  }
}

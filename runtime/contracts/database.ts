/**
 * The one way to a SQLite file. Writes cross to the writer thread as lists of SQL steps; everything that waits there is
 * applied in one transaction, committed with one fsync, then answered (group commit). Reads use a read-only connection
 * of the calling thread and see every write that was answered.
 */

export type SqlValue = string | number | bigint | Uint8Array | null;

/** One statement of a write. All steps of a write are applied together or not at all. */
export interface SqlStep {
  readonly sql: string;
  /** Positional (`?`) parameters. */
  readonly params?: readonly SqlValue[];
  /** Rows to return: `all` for `RETURNING` or `SELECT`; default `none`. */
  readonly fetch?: 'none' | 'all';
  /** The write is rolled back with a `StepRefused` unless the step changes (or fetches) at least this many rows. */
  readonly atLeast?: number;
}

export interface SqlStepResult {
  readonly changes: number;
  readonly rows: readonly Readonly<Record<string, SqlValue>>[];
}

/** How long an answer may precede the disk: `sync` waits for fsync (default), `relaxed` for the commit only. */
export type Durability = 'sync' | 'relaxed';

export interface Database {
  /**
   * Applies `steps` atomically and resolves once they are durable. Rejects with `StepRefused` or `DatabaseError`. With
   * `lingerMs` the write may wait that long for others to share its commit.
   */
  write(steps: readonly SqlStep[], lingerMs?: number): Promise<readonly SqlStepResult[]>;
  /** Runs one short query on this thread's read-only connection. */
  read(sql: string, params?: readonly SqlValue[]): readonly Readonly<Record<string, SqlValue>>[];
  /** Gives back this user's share; the file closes with its last user. */
  close(): Promise<void>;
}

export interface DatabaseOptions {
  /** File path; `:memory:` for a private database that vanishes with the process. */
  readonly path: string;
  /** WAL journal (default true). */
  readonly wal?: boolean;
  readonly busyTimeoutMs?: number;
  readonly readOnly?: boolean;
  /** Default `sync`. `relaxed` files lose what was committed last when the power goes; they stay whole. */
  readonly durability?: Durability;
  /** Statements that bring an empty or older file to the current schema, run in order inside one transaction. */
  readonly migrations?: readonly Migration[];
}

/** One schema level of one user of the file, recorded in the table `metadataTable` as row `key`. */
export interface Migration {
  readonly metadataTable: string;
  readonly key: string;
  /** `levels[n]` takes level n to n + 1. */
  readonly levels: readonly (readonly string[])[];
  /** Run once after rows of a damaged file were salvaged: makes the tables of this user consistent again. */
  readonly repair?: readonly string[];
}

/** Opens databases; the same path is opened once per process and counted. */
export interface DatabasePool {
  open(options: DatabaseOptions, signal?: AbortSignal): Promise<Database>;
  /** The node's own file (broker, spool, default state store); each user brings its own tables. */
  system(migrations?: readonly Migration[]): Promise<Database>;
  /** Durable writes answered so far, over all files. */
  acknowledgedWrites?(): number;
  close(): Promise<void>;
}

/** A step's `atLeast` was not met: nothing of that write was applied. */
export class StepRefused extends Error {
  override readonly name = 'StepRefused';
  readonly stepIndex: number;
  constructor(stepIndex: number) {
    super(`step ${stepIndex} affected fewer rows than required`);
    this.stepIndex = stepIndex;
  }
}

/** SQLite refused (disk full, corrupt, constraint): nothing of that write was applied. `code` is SQLite's, e.g. `SQLITE_FULL`. */
export class DatabaseError extends Error {
  override readonly name = 'DatabaseError';
  readonly code: string;
  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

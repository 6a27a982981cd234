/** One database file of the pool and the shares its users hold; it closes with the last share. */

import type { Clock } from '../../../runtime/contracts/clock.ts';
import {
  type Database,
  DatabaseError,
  type Durability,
  type Migration,
  type SqlStep,
  type SqlStepResult,
  type SqlValue,
} from '../../../runtime/contracts/database.ts';
import { errorText } from '../../../runtime/contracts/error.ts';
import { createDatabaseFile } from './create-file.ts';
import { databaseError, type FailureRecord, FILE_AWAY, FILE_REPLACED, isBusy } from './database-errors.ts';
import { markSuspect } from './open-checked.ts';
import { ReadConnection } from './read-connection.ts';
import type { SalvageReport } from './salvage.ts';
import type { StepOutcome, WriteOutcome } from './write-connection.ts';
import { writeResults } from './write-results.ts';
import { crossingSteps, type WriterClient } from './writer-client.ts';

export interface PooledFileOptions {
  readonly path: string;
  readonly wal: boolean;
  readonly busyTimeoutMs: number;
  readonly writer: WriterClient;
  readonly clock: Clock;
  /** The node's own file (see `open-checked.ts`). */
  readonly own: boolean;
  readonly durability: Durability;
  /** The file was damaged and what could be read of it was salvaged. */
  readonly salvaged: (report: SalvageReport) => void;
  /** Called when SQLite met damage while the node runs. */
  readonly damaged: (error: Error) => void;
  /** The file went out of reach, with the reason, or is back. */
  readonly away: (reason: string | undefined) => void;
  /** The file was deleted or another one is in its place; true: it is opened anew. */
  readonly replaced: (error: Error) => boolean;
  /** Called once when the file is closed or could not be opened. */
  readonly forget: () => void;
}

/** Two processes that create or migrate one file at the same time: SQLite's own wait does not cover this. */
const OPEN_RETRY_MS = 50;
const OPEN_DEADLINE_MS = 20_000;

let nextDatabase = 1;

export class PooledFile {
  readonly wal: boolean;
  /** Set while the file is being closed; afterwards it may be opened anew. */
  closing: Promise<void> | undefined;
  readonly #options: PooledFileOptions;
  readonly #database: number;
  readonly #opened: Promise<void>;
  #reader: ReadConnection | undefined;
  #shares = 0;
  #away = false;
  /** Of all shares, for a file that is opened anew. */
  readonly #migrations = new Set<Migration>();
  #reopening: Promise<void> | undefined;
  /** Opening it anew failed; the next write tries again. */
  #unopened = false;

  constructor(options: PooledFileOptions) {
    this.wal = options.wal;
    this.#options = options;
    this.#database = nextDatabase;
    nextDatabase += 1;
    this.#opened = this.#open();
    // Every share awaits it as well; this only keeps a failure without shares from being reported as unhandled.
    this.#opened.catch(() => undefined);
  }

  async share(migrations: readonly Migration[], signal?: AbortSignal): Promise<Database> {
    this.#shares += 1;
    try {
      await this.#opened;
      if (migrations.length > 0)
        await this.#patiently({ kind: 'migrate', database: this.#database, migrations }, signal);
      for (const migration of migrations) this.#migrations.add(migration);
      signal?.throwIfAborted();
    } catch (error) {
      await this.#giveBack();
      throw error;
    }
    let open = true;
    return {
      write: (steps, lingerMs) => (open ? this.#write(steps, lingerMs) : Promise.reject(this.#closedError())),
      read: (sql, params) => {
        if (!open) throw this.#closedError();
        return this.#read(sql, params);
      },
      close: async () => {
        if (!open) return;
        open = false;
        await this.#giveBack();
      },
    };
  }

  /** Closes whatever shares are left; writes already given are still answered. */
  closeNow(): Promise<void> {
    this.closing ??= this.#close();
    return this.closing;
  }

  async #open(): Promise<void> {
    try {
      await this.#openFile();
    } catch (error) {
      this.closing = Promise.resolve();
      this.#options.forget();
      throw error;
    }
  }

  async #openFile(): Promise<void> {
    const { path, wal, busyTimeoutMs, own, durability, salvaged } = this.#options;
    await createDatabaseFile(path);
    const outcome = await this.#patiently({
      kind: 'open',
      database: this.#database,
      options: { path, wal, busyTimeoutMs, own, durability },
    });
    const report = reportIn(outcome);
    if (report !== undefined) salvaged(report);
    this.#reader = new ReadConnection(path, busyTimeoutMs);
  }

  async #patiently(
    request: Parameters<WriterClient['request']>[0],
    signal?: AbortSignal,
  ): Promise<WriteOutcome> {
    const { clock, path, writer } = this.#options;
    const deadline = clock.monotonicMs() + OPEN_DEADLINE_MS;
    for (;;) {
      const outcome = await writer.request(request);
      if (!('failure' in outcome)) return outcome;
      if (!isBusy(outcome.failure.code) || clock.monotonicMs() > deadline)
        throw databaseError(path, outcome.failure);
      await clock.sleep(OPEN_RETRY_MS, signal);
    }
  }

  async #write(steps: readonly SqlStep[], lingerMs?: number): Promise<readonly SqlStepResult[]> {
    const crossing = crossingSteps(steps);
    if (this.#reopening !== undefined) await this.#reopening;
    const outcome = await this.#options.writer.request(
      { kind: 'write', database: this.#database, steps: crossing.steps },
      crossing.bytes,
      lingerMs,
    );
    if ('failure' in outcome) this.#noteFailure(outcome.failure);
    else if (this.#away) this.#setAway(undefined);
    return writeResults(this.#options.path, outcome);
  }

  #noteFailure(failure: FailureRecord): void {
    if (failure.code === FILE_AWAY) this.#setAway(failure.message);
    else if (failure.code === FILE_REPLACED || this.#unopened) this.#reopen(failure);
    else this.#noteDamage(failure.code);
  }

  #setAway(reason: string | undefined): void {
    const away = reason !== undefined;
    if (away === this.#away) return;
    this.#away = away;
    this.#options.away(reason);
  }

  /** Writes wait until it is done, reads are refused. */
  #reopen(failure: FailureRecord): void {
    const { path, replaced, writer } = this.#options;
    if (this.#reopening !== undefined || this.closing !== undefined) return;
    if (!this.#unopened && !replaced(databaseError(path, failure))) return;
    const reopen = async (): Promise<void> => {
      this.#reader?.close();
      this.#reader = undefined;
      await writer.request({ kind: 'close', database: this.#database });
      await this.#openFile();
      if (this.#migrations.size > 0)
        await this.#patiently({
          kind: 'migrate',
          database: this.#database,
          migrations: [...this.#migrations],
        });
      this.#unopened = false;
      this.#setAway(undefined);
    };
    this.#reopening = reopen()
      .catch((error: unknown) => {
        this.#unopened = true;
        this.#setAway(errorText(error));
      })
      .finally(() => {
        this.#reopening = undefined;
      });
  }

  /** The next start checks the file whole and salvages what is left. */
  #noteDamage(code: string): void {
    if (!code.startsWith('SQLITE_CORRUPT') && !code.startsWith('SQLITE_NOTADB')) return;
    markSuspect(this.#options.path);
    this.#options.damaged(new DatabaseError(code, `database file '${this.#options.path}' is damaged`));
  }

  #read(sql: string, params?: readonly SqlValue[]): readonly Readonly<Record<string, SqlValue>>[] {
    if (this.#reader === undefined) throw this.#closedError();
    try {
      return this.#reader.read(sql, params);
    } catch (error) {
      if (error instanceof DatabaseError) this.#noteDamage(error.code);
      throw error;
    }
  }

  async #giveBack(): Promise<void> {
    this.#shares -= 1;
    if (this.#shares === 0) await this.closeNow();
  }

  async #close(): Promise<void> {
    try {
      await this.#opened;
    } catch {
      return; // It never was open; the opener was told why.
    }
    await this.#reopening;
    // The reader first: the last connection to close folds the WAL into the file, and a reader cannot.
    this.#reader?.close();
    this.#reader = undefined;
    try {
      await this.#options.writer.request({ kind: 'close', database: this.#database });
    } catch {
      // The writer is gone and its files with it.
    }
    this.#options.forget();
  }

  #closedError(): DatabaseError {
    return new DatabaseError('SKERRY_CLOSED', `database file '${this.#options.path}' is closed`);
  }
}

function reportIn(outcome: WriteOutcome): SalvageReport | undefined {
  const first = Array.isArray(outcome) ? (outcome[0] as StepOutcome | undefined) : undefined;
  if (first === undefined || typeof first === 'number') return undefined;
  return JSON.parse(String(first.rows[0]?.['report'])) as SalvageReport;
}

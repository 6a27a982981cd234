/**
 * The `state.sqlite` store: Dapr's table layout on the node's database writer. Reads run on this thread, every write
 * is on disk before it is answered, and writes of several callers share one commit.
 */

import type { ComponentDeps } from '../../../runtime/contracts/component.ts';
import {
  type Database,
  type SqlStep,
  type SqlValue,
  StepRefused,
} from '../../../runtime/contracts/database.ts';
import { errorText } from '../../../runtime/contracts/error.ts';
import {
  type BulkStateRecord,
  checkStateOptions,
  type DeleteStateRequest,
  EtagError,
  type GetStateRequest,
  type JournalOptions,
  type KeysLikeAnswer,
  type KeysLikeRequest,
  likeTokens,
  type SetStateRequest,
  type StateJournal,
  type StateOperation,
  type StateRecord,
  type StateStore,
} from '../../../runtime/contracts/state-store.ts';
import { currentTimestamp, rfc3339, sqlTimestamp } from '../../drivers/sqlite/sql-timestamp.ts';
import { openSqlite } from '../../drivers/sqlite/sqlite-metadata.ts';
import { checkedEtag, isIntact } from './checked-etag.ts';
import { startCleanup } from './cleanup.ts';
import { journalMigration, openJournal } from './journal.ts';
import type { StateSqliteMetadata } from './metadata.ts';
import { type StateStatements, stateStatements } from './statements.ts';
import { parseTtl } from './ttl.ts';

/** Dapr feature names, as its own component reports them. */
export const STATE_SQLITE_FEATURES: readonly string[] = ['ETAG', 'TRANSACTIONAL', 'TTL', 'KEYS_LIKE'];

/** Keys per query of a bulk read; longer lists give other work its turn in between. */
const BULK_CHUNK = 128;

/** The node's own database has no owner who would set an interval, so it gets one. */
const SYSTEM_CLEANUP_MS = 3_600_000;

type Row = Readonly<Record<string, SqlValue>>;

export class StateSqlite implements StateStore {
  /** A relaxed or lingering store says so in the metadata API. */
  readonly features: readonly string[];
  readonly #metadata: StateSqliteMetadata;
  readonly #deps: ComponentDeps;
  readonly #statements: StateStatements;
  readonly #timestamp: () => string;
  #database: Database | undefined;
  #cleanup: { close(): Promise<void> } | undefined;
  readonly #followers = new Set<() => void>();

  constructor(metadata: StateSqliteMetadata, deps: ComponentDeps) {
    this.#metadata = metadata;
    this.features = [
      ...STATE_SQLITE_FEATURES,
      ...(metadata.durability === 'relaxed' ? ['DURABILITY_RELAXED'] : []),
      ...(metadata.linger > 0 ? ['DURABILITY_LINGERING'] : []),
    ];
    this.#deps = deps;
    this.#statements = stateStatements(metadata.tableName, metadata.metadataTableName);
    this.#timestamp = currentTimestamp(deps.clock);
  }

  async init(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#deps;
    const location = this.#metadata.connectionString;
    this.#database = await openSqlite(this.#metadata, this.#statements.migrations, this.#deps, signal);
    const byDefault = location.kind === 'system' ? SYSTEM_CLEANUP_MS : 0;
    const intervalMs = this.#metadata.cleanupInterval === 0 ? byDefault : this.#metadata.cleanupInterval;
    if (intervalMs <= 0 || (location.kind === 'file' && location.readOnly)) return;
    this.#cleanup = startCleanup({
      database: this.#database,
      statements: this.#statements,
      intervalMs,
      clock,
      log,
      timestamp: this.#timestamp,
    });
  }

  async ping(): Promise<void> {
    this.#open().read('SELECT 1');
  }

  async close(): Promise<void> {
    await this.#cleanup?.close();
    this.#cleanup = undefined;
    await this.#database?.close();
    this.#database = undefined;
  }

  async get(request: GetStateRequest): Promise<StateRecord | undefined> {
    if (request.key === '') throw new Error('missing key in get operation');
    const row = this.#open().read(this.#statements.get, [request.key, this.#timestamp()])[0];
    return row === undefined ? undefined : recordOf(request.key, row);
  }

  async bulkGet(
    keys: readonly string[],
    _metadata: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): Promise<readonly BulkStateRecord[]> {
    const distinct = [...new Set(keys)];
    const sorted = [...distinct].sort();
    const found = new Map<string, BulkStateRecord>();
    for (let from = 0; from < sorted.length; from += BULK_CHUNK) {
      if (from > 0) await new Promise(setImmediate);
      signal.throwIfAborted();
      const chunk = JSON.stringify(sorted.slice(from, from + BULK_CHUNK));
      for (const row of this.#open().read(this.#statements.getMany, [chunk, this.#timestamp()])) {
        const key = String(row['key']);
        found.set(key, bulkRecordOf(key, row));
      }
    }
    return [...found.values(), ...distinct.filter((key) => !found.has(key)).map((key) => ({ key }))];
  }

  async set(request: SetStateRequest): Promise<void> {
    await this.#write([this.#setStep(request)]);
  }

  async delete(request: DeleteStateRequest): Promise<void> {
    await this.#write([this.#deleteStep(request)]);
  }

  async bulkWrite(requests: readonly StateOperation[]): Promise<readonly (Error | undefined)[]> {
    // All writes start in this turn, so they cross to the writer together and share its commit.
    const results = await Promise.allSettled(
      requests.map(async (request) => this.#write([this.#step(request)])),
    );
    return results.map((result) => (result.status === 'fulfilled' ? undefined : asError(result.reason)));
  }

  async transact(operations: readonly StateOperation[]): Promise<void> {
    if (operations.length > 0) await this.#write(operations.map((operation) => this.#step(operation)));
  }

  async keysLike(request: KeysLikeRequest): Promise<KeysLikeAnswer> {
    const glob = likeTokens(request.pattern).map(globOf).join('');
    const { continuationToken: after = '-1', pageSize } = request;
    if (!/^-?\d+$/.test(after)) throw new Error(`invalid continue token: ${after}`);
    // One more than wanted tells whether there is more; -1 is no limit.
    const limit = pageSize === undefined ? -1 : pageSize + 1;
    const rows = this.#open().read(this.#statements.keysLike, [
      glob,
      Number(after),
      this.#timestamp(),
      limit,
    ]);
    const page = pageSize === undefined ? rows : rows.slice(0, pageSize);
    const keys = page.map((row) => String(row['key']));
    const more = rows.length > page.length;
    return more ? { keys, continuationToken: String(page.at(-1)?.['place'] ?? after) } : { keys };
  }

  async journal(options: JournalOptions): Promise<StateJournal> {
    const location = this.#metadata.connectionString;
    if (location.kind === 'file' && (location.readOnly || location.path === ':memory:'))
      throw new Error('expected a file that can be written: changes are noted in it');
    const { tableName } = this.#metadata;
    const migrations = [...this.#statements.migrations, journalMigration(tableName), ...options.migrations];
    const database = await openSqlite(this.#metadata, migrations, this.#deps, new AbortController().signal);
    this.#followers.add(options.changed);
    return openJournal({
      database,
      table: tableName,
      options,
      step: (operation) => this.#step(operation),
      write: (steps) => this.#write(steps),
      closed: () => {
        this.#followers.delete(options.changed);
        void database.close();
      },
    });
  }

  #open(): Database {
    if (this.#database === undefined) throw new Error('the state store is not open');
    return this.#database;
  }

  async #write(steps: readonly SqlStep[]): Promise<void> {
    try {
      await this.#open().write(steps, this.#metadata.linger);
    } catch (error) {
      throw error instanceof StepRefused ? new EtagError('mismatch') : error;
    }
    for (const changed of this.#followers) changed();
  }

  #step(operation: StateOperation): SqlStep {
    return operation.kind === 'upsert' ? this.#setStep(operation) : this.#deleteStep(operation);
  }

  #setStep(request: SetStateRequest): SqlStep {
    const { key, etag, options } = request;
    checkStateOptions(options);
    if (key === '') throw new Error('missing key in set option');
    const ttlSeconds = parseTtl(request.metadata);
    const now = this.#timestamp();
    // An update without TTL removes an older expiry.
    const expires = ttlSeconds > 0 ? sqlTimestamp(this.#deps.clock.now() + ttlSeconds * 1000) : null;
    const { json, bytes } = request.value;
    const value = json
      ? bytes
      : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64');
    const binary = json ? 0 : 1;
    const newEtag = checkedEtag(this.#deps.ids.uuid(), key, value);
    if (etag !== undefined && etag !== '') {
      const params = [value, binary, newEtag, now, expires, key, etag, now];
      return { sql: this.#statements.update, params, atLeast: 1 };
    }
    const params = [key, value, binary, newEtag, now, expires];
    if (options.concurrency !== 'first-write') return { sql: this.#statements.upsert, params };
    return { sql: this.#statements.insertFirst, params: [...params, now], atLeast: 1 };
  }

  #deleteStep(request: DeleteStateRequest): SqlStep {
    const { key, etag } = request;
    checkStateOptions(request.options);
    if (key === '') throw new Error('missing key in delete operation');
    if (etag === undefined || etag === '') return { sql: this.#statements.remove, params: [key] };
    return { sql: this.#statements.removeExact, params: [key, etag], atLeast: 1 };
  }
}

function recordOf(key: string, row: Row): StateRecord {
  const stored = row['value'] as Buffer;
  const value = Number(row['is_binary']) === 1 ? Buffer.from(stored.toString('latin1'), 'base64') : stored;
  const etag = String(row['etag']);
  if (!isIntact(etag, key, stored))
    throw new Error(`the stored value of key '${key}' is damaged: its checksum does not match`);
  const expires = row['expiration_time'];
  if (typeof expires !== 'string') return { value, etag };
  return { value, etag, metadata: { ttlExpireTime: rfc3339(expires) } };
}

/** One damaged value does not cost the others. */
function bulkRecordOf(key: string, row: Row): BulkStateRecord {
  try {
    return { key, record: recordOf(key, row) };
  } catch (error) {
    return { key, error: errorText(error) };
  }
}

function globOf(token: ReturnType<typeof likeTokens>[number]): string {
  if (typeof token !== 'string') return /[*?[]/.test(token.text) ? `[${token.text}]` : token.text;
  return token === 'any' ? '*' : '?';
}

function asError(reason: unknown): Error {
  return reason instanceof Error ? reason : new Error(errorText(reason));
}

/**
 * The `lock.sqlite` store: locks that survive a restart and are shared by every process that uses the file. A lock is
 * one row; taking it is one conditional insert, so two owners can never both succeed.
 */

import type { ComponentDeps } from '../../../runtime/contracts/component.ts';
import { type Database, type Migration, StepRefused } from '../../../runtime/contracts/database.ts';
import type { LockStore, UnlockStatus } from '../../../runtime/contracts/lock-store.ts';
import { openSqlite } from '../../drivers/sqlite/sqlite-metadata.ts';
import type { LockSqliteMetadata } from './metadata.ts';

export class LockSqlite implements LockStore {
  readonly #metadata: LockSqliteMetadata;
  readonly #deps: ComponentDeps;
  readonly #sql: { readonly take: string; readonly release: string; readonly owner: string };
  #database: Database | undefined;

  constructor(metadata: LockSqliteMetadata, deps: ComponentDeps) {
    const table = metadata.tableName;
    this.#metadata = metadata;
    this.#deps = deps;
    this.#sql = {
      // As with Dapr's stores a lock is not re-entrant: its owner does not get it twice either.
      take:
        `INSERT INTO "${table}" (resource, owner, expires_at) VALUES (?, ?, ?) ON CONFLICT (resource) ` +
        'DO UPDATE SET owner = excluded.owner, expires_at = excluded.expires_at WHERE expires_at <= ?',
      release: `DELETE FROM "${table}" WHERE resource = ? AND owner = ? AND expires_at > ?`,
      owner: `SELECT owner FROM "${table}" WHERE resource = ? AND expires_at > ?`,
    };
  }

  async init(signal: AbortSignal): Promise<void> {
    this.#database = await openSqlite(this.#metadata, [this.#migration()], this.#deps, signal);
  }

  async close(): Promise<void> {
    await this.#database?.close();
    this.#database = undefined;
  }

  async tryLock(resource: string, owner: string, expirySeconds: number): Promise<boolean> {
    const now = Math.floor(this.#deps.clock.now());
    const params = [resource, owner, now + expirySeconds * 1000, now];
    try {
      await this.#open().write([{ sql: this.#sql.take, params, atLeast: 1 }]);
      return true;
    } catch (error) {
      if (error instanceof StepRefused) return false;
      throw error;
    }
  }

  async unlock(resource: string, owner: string): Promise<UnlockStatus> {
    const now = Math.floor(this.#deps.clock.now());
    const [released, held] = await this.#open().write([
      { sql: this.#sql.release, params: [resource, owner, now] },
      { sql: this.#sql.owner, params: [resource, now], fetch: 'all' },
    ]);
    if (released?.changes === 1) return 'released';
    return held?.rows.length === 1 ? 'owned-by-other' : 'missing';
  }

  #open(): Database {
    if (this.#database === undefined) throw new Error('the lock store is not open');
    return this.#database;
  }

  #migration(): Migration {
    const { tableName, metadataTableName } = this.#metadata;
    const create =
      `CREATE TABLE IF NOT EXISTS "${tableName}" (resource TEXT NOT NULL PRIMARY KEY, ` +
      'owner TEXT NOT NULL, expires_at INTEGER NOT NULL) WITHOUT ROWID';
    return { metadataTable: metadataTableName, key: `lock:${tableName}`, levels: [[create]] };
  }
}

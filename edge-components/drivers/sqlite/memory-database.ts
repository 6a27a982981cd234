/**
 * A `:memory:` database. It has no disk to wait for, so it lives on the calling thread behind the same interface:
 * writes take effect at once and reads see them.
 */

import {
  type Database,
  DatabaseError,
  type Migration,
  type SqlStep,
  type SqlValue,
} from '../../../runtime/contracts/database.ts';
import { databaseError, failureRecord } from './database-errors.ts';
import { WriteConnection } from './write-connection.ts';
import { writeResults } from './write-results.ts';

/** Opens a private database that vanishes with its `close`. */
export function openMemoryDatabase(migrations: readonly Migration[]): Database {
  const path = ':memory:';
  const connection = new WriteConnection({ path, wal: false, busyTimeoutMs: 0 });
  connection.migrate(migrations);
  let open = true;
  const requireOpen = (): void => {
    if (!open) throw new DatabaseError('SKERRY_CLOSED', 'the database is closed');
  };
  return {
    async write(steps: readonly SqlStep[]) {
      requireOpen();
      const [outcome] = connection.apply([steps]);
      return writeResults(path, outcome ?? []);
    },
    read(sql: string, params: readonly SqlValue[] = []) {
      requireOpen();
      try {
        return connection.read(sql, params);
      } catch (error) {
        throw databaseError(path, failureRecord(error), error);
      }
    },
    async close() {
      if (open) connection.close();
      open = false;
    },
  };
}

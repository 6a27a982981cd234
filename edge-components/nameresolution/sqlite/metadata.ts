/** Configuration of `nameresolution.sqlite` (gRPC reference, section 6.2). */

import { duration, metadataSchema } from '../../../runtime/contracts/metadata.ts';
import type { SqliteLocation } from '../../drivers/sqlite/connection-string.ts';
import { SQLITE_ALIASES, SQLITE_ITEMS, tableName } from '../../drivers/sqlite/sqlite-metadata.ts';

const SECOND_MS = 1000;

export const nameSqliteMetadata = metadataSchema(
  {
    ...SQLITE_ITEMS,
    timeout: duration(SECOND_MS).refine((ms) => ms >= SECOND_MS, { error: 'must be at least 1s' }),
    busyTimeout: duration(800),
    tableName: tableName('hosts'),
    metadataTableName: tableName('metadata'),
    updateInterval: duration(5 * SECOND_MS).refine((ms) => ms % SECOND_MS === 0, {
      error: 'update interval must not contain fractions of seconds',
    }),
    cleanupInterval: duration(3600 * SECOND_MS),
  },
  { aliases: { ...SQLITE_ALIASES, cleanupIntervalInSeconds: 'cleanupInterval' } },
);

export interface NameSqliteMetadata {
  readonly connectionString: SqliteLocation;
  readonly timeout: number;
  readonly busyTimeout: number;
  readonly disableWAL: boolean;
  readonly tableName: string;
  readonly metadataTableName: string;
  readonly updateInterval: number;
  readonly cleanupInterval: number;
}

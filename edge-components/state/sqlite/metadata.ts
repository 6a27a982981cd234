/** Metadata items of `state.sqlite`. */

import { duration, metadataSchema } from '../../../runtime/contracts/metadata.ts';
import { lingerItem, SQLITE_ALIASES, SQLITE_ITEMS, tableName } from '../../drivers/sqlite/sqlite-metadata.ts';

export const stateSqliteMetadata = metadataSchema(
  {
    ...SQLITE_ITEMS,
    tableName: tableName('state'),
    metadataTableName: tableName('metadata'),
    cleanupInterval: duration(0),
    linger: lingerItem,
  },
  { aliases: { ...SQLITE_ALIASES, cleanupIntervalInSeconds: 'cleanupInterval' } },
);

export interface StateSqliteMetadata {
  readonly connectionString: import('../../drivers/sqlite/connection-string.ts').SqliteLocation;
  readonly timeout: number;
  readonly busyTimeout: number;
  readonly disableWAL: boolean;
  readonly durability: 'sync' | 'relaxed';
  /** Milliseconds that a write may wait for others to share its commit. */
  readonly linger: number;
  readonly tableName: string;
  readonly metadataTableName: string;
  readonly cleanupInterval: number;
}

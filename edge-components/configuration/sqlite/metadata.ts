/** Metadata items of `configuration.sqlite`. */

import { duration, metadataSchema } from '../../../runtime/contracts/metadata.ts';
import type { SqliteMetadata } from '../../drivers/sqlite/sqlite-metadata.ts';
import { SQLITE_ALIASES, SQLITE_ITEMS, tableName } from '../../drivers/sqlite/sqlite-metadata.ts';

export const configurationSqliteMetadata = metadataSchema(
  {
    ...SQLITE_ITEMS,
    tableName: tableName('configuration'),
    metadataTableName: tableName('metadata'),
    pollInterval: duration(1000).refine((ms) => ms >= 10, { error: 'must be at least 10ms' }),
  },
  { aliases: SQLITE_ALIASES },
);

export interface ConfigurationSqliteMetadata extends SqliteMetadata {
  readonly tableName: string;
  readonly metadataTableName: string;
  readonly pollInterval: number;
}

/** Metadata items of `lock.sqlite`. */

import { metadataSchema } from '../../../runtime/contracts/metadata.ts';
import type { SqliteMetadata } from '../../drivers/sqlite/sqlite-metadata.ts';
import { SQLITE_ALIASES, SQLITE_ITEMS, tableName } from '../../drivers/sqlite/sqlite-metadata.ts';

export const lockSqliteMetadata = metadataSchema(
  { ...SQLITE_ITEMS, tableName: tableName('lock'), metadataTableName: tableName('metadata') },
  { aliases: SQLITE_ALIASES },
);

export interface LockSqliteMetadata extends SqliteMetadata {
  readonly tableName: string;
  readonly metadataTableName: string;
}

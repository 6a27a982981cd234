/** Metadata items that every SQLite component has, with Dapr's names and defaults. */

import { z } from 'zod';
import type { Database, DatabasePool, Durability, Migration } from '../../../runtime/contracts/database.ts';
import { errorText } from '../../../runtime/contracts/error.ts';
import type { Logger } from '../../../runtime/contracts/logger.ts';
import { duration, flag } from '../../../runtime/contracts/metadata.ts';
import { parseConnectionString, type SqliteLocation } from './connection-string.ts';

const MAX_LINGER_MS = 1000;

/** How long a write may wait before it goes to disk, for others to share its commit. */
export const lingerItem: z.ZodType<number> = duration(0).refine((ms) => ms <= MAX_LINGER_MS, {
  error: ({ input }) => `expected at most 1s, got ${input} ms`,
});

/** Items to spread into a component's own shape. */
export const SQLITE_ITEMS = {
  connectionString: z
    .string()
    .default('')
    .transform((value, context): SqliteLocation => {
      try {
        return parseConnectionString(value.trim());
      } catch (error) {
        context.addIssue({ code: 'custom', message: errorText(error) });
        return z.NEVER;
      }
    }),
  timeout: duration(20_000).refine((ms) => ms >= 1000, { error: 'must be at least 1s' }),
  busyTimeout: duration(2000),
  disableWAL: flag(false),
  durability: z
    .enum(['sync', 'relaxed'], { error: ({ input }) => `expected sync or relaxed, got '${input}'` })
    .default('sync'),
};

/** Other spellings of those items. */
export const SQLITE_ALIASES = { url: 'connectionString', timeoutInSeconds: 'timeout' };

/** A table name: letters, digits and `_`, as Dapr's components allow. */
export function tableName(fallback: string): z.ZodType<string> {
  return z
    .string()
    .default(fallback)
    .refine((name) => /^[0-9A-Za-z_]+$/.test(name), {
      error: ({ input }) => `invalid identifier: expected letters, digits and '_', got '${input}'`,
    });
}

export interface SqliteMetadata {
  readonly connectionString: SqliteLocation;
  readonly busyTimeout: number;
  readonly disableWAL: boolean;
  readonly durability?: Durability;
}

/** Opens the database that the metadata names, with the component's tables in it. */
export function openSqlite(
  metadata: SqliteMetadata,
  migrations: readonly Migration[],
  deps: { readonly databases: DatabasePool; readonly log: Logger },
  signal: AbortSignal,
): Promise<Database> {
  const location = metadata.connectionString;
  const durability = metadata.durability ?? 'sync';
  if (location.kind === 'system') {
    if (durability === 'relaxed')
      throw new Error("durability: 'relaxed' needs a file of its own: set connectionString to its path");
    return deps.databases.system(migrations);
  }
  for (const parameter of location.ignored) {
    deps.log.warn(`Connection string parameter '${parameter}' has no effect`);
  }
  return deps.databases.open(
    {
      path: location.path,
      wal: !metadata.disableWAL,
      busyTimeoutMs: Math.max(0, Math.trunc(metadata.busyTimeout)),
      readOnly: location.readOnly,
      durability,
      ...(location.readOnly ? {} : { migrations }),
    },
    signal,
  );
}

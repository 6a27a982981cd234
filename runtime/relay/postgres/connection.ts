/**
 * The database that relays share, by the client `pg` (decision 0022), which is loaded with the first connection and nowhere else.
 * What cannot be asked is told apart from what was answered: `RegistryAway` means that nothing is known of the outcome.
 */

import type { Pool, PoolClient } from 'pg';
import { errorText } from '../../contracts/error.ts';
import { RegistryAway } from '../registry.ts';

export type Row = Readonly<Record<string, unknown>>;
export type Query = (sql: string, values?: readonly unknown[]) => Promise<readonly Row[]>;

export interface Postgres {
  readonly query: Query;
  /** Runs `work` in one transaction; it is rolled back when that rejects. */
  transaction<T>(work: (query: Query) => Promise<T>): Promise<T>;
  close(): Promise<void>;
}

const CONNECTIONS = 8;
const CONNECT_LIMIT_MS = 3000;
/** The server gives up first, so that it is known what became of a statement. */
const STATEMENT_LIMIT_MS = 4000;
const ANSWER_LIMIT_MS = 5000;
const IDLE_MS = 60_000;

/** Connects when it is first asked. `lost` hears of idle connections that broke. */
export async function openPostgres(url: string, lost: (reason: string) => void): Promise<Postgres> {
  const { Pool } = await import('pg');
  // What a connection string is made of never reaches a message: it holds the password.
  if (!URL.canParse(url))
    throw new Error('the address of the registry is malformed: expected postgres://user@host:5432/database');
  const pool = new Pool({
    connectionString: url,
    max: CONNECTIONS,
    connectionTimeoutMillis: CONNECT_LIMIT_MS,
    statement_timeout: STATEMENT_LIMIT_MS,
    query_timeout: ANSWER_LIMIT_MS,
    idleTimeoutMillis: IDLE_MS,
    keepAlive: true,
    application_name: 'skerry-relay',
  });
  pool.on('error', (error) => lost(errorText(error)));

  const ask = async (on: Pool | PoolClient, sql: string, values: readonly unknown[]) => {
    try {
      return (await on.query(sql, [...values])).rows as readonly Row[];
    } catch (cause) {
      throw failure(cause);
    }
  };
  return {
    query: (sql, values = []) => ask(pool, sql, values),
    async transaction(work) {
      const client = await pool.connect().catch((cause: unknown) => {
        throw failure(cause);
      });
      // A connection that breaks while it is in use says so twice.
      const broken = (): void => {};
      client.on('error', broken);
      let failed: Error | undefined;
      try {
        await ask(client, 'BEGIN', []);
        const result = await work((sql, values = []) => ask(client, sql, values));
        await ask(client, 'COMMIT', []);
        return result;
      } catch (cause) {
        await client.query('ROLLBACK').catch((error: unknown) => {
          failed = new Error(errorText(error));
        });
        throw cause;
      } finally {
        client.off('error', broken);
        client.release(failed);
      }
    },
    close: () => pool.end(),
  };
}

/** Classes of SQLSTATE in which the server is there and does not serve: connections, resources, operators, limits of time. */
const AWAY = /^(?:08|53|57|25006|28|3D)/;

function failure(cause: unknown): Error {
  const text = errorText(cause);
  const { code } = cause as { readonly code?: unknown };
  // Errors of the server have a SQLSTATE of five characters; those of sockets and time limits have other codes or none.
  const state = typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code) ? code : undefined;
  if (state !== undefined && !AWAY.test(state)) return new Error(`the registry: ${text}`, { cause });
  return new RegistryAway(`the registry cannot be reached: ${text}`, { cause });
}

/**
 * `nameresolution.sqlite`: sidecars of one machine find each other through rows of a shared file (gRPC reference,
 * section 6.2), with the table that `daprd` uses. A row counts while it was renewed within `updateInterval`.
 */

import type { Timer } from '../../../runtime/contracts/clock.ts';
import type { ComponentDeps } from '../../../runtime/contracts/component.ts';
import { type Database, type Migration, StepRefused } from '../../../runtime/contracts/database.ts';
import { errorText } from '../../../runtime/contracts/error.ts';
import type { Announcement, NameResolver } from '../../../runtime/contracts/name-resolver.ts';
import { openSqlite } from '../../drivers/sqlite/sqlite-metadata.ts';
import type { NameSqliteMetadata } from './metadata.ts';

const NOW = 'unixepoch(CURRENT_TIMESTAMP)';

interface Registration {
  readonly id: string;
  readonly address: string;
  readonly appId: string;
  timer: Timer | undefined;
  closed: boolean;
}

type Deps = Pick<ComponentDeps, 'clock' | 'ids' | 'log' | 'databases'>;

/** Makes a resolver that has not opened its file yet. Throws when the intervals contradict each other. */
export function createSqliteResolver(metadata: NameSqliteMetadata, deps: Deps): NameResolver {
  if (metadata.updateInterval - metadata.timeout < 1000) {
    throw new Error('update interval must be at least 1s greater than timeout');
  }
  const { clock, log } = deps;
  const table = metadata.tableName;
  const aliveSeconds = metadata.updateInterval / 1000;
  const registrations = new Set<Registration>();
  let database: Database | undefined;
  let cleanup: Timer | undefined;

  const open = (): Database => {
    if (database === undefined) throw new Error('name resolution sqlite is not open');
    return database;
  };

  const insert = (registration: Registration): Promise<unknown> =>
    open().write([
      {
        sql: `REPLACE INTO ${table} (registration_id, address, app_id, namespace, last_update) VALUES (?, ?, ?, ?, ${NOW})`,
        params: [registration.id, registration.address, registration.appId, ''],
      },
    ]);

  const renew = async (registration: Registration): Promise<void> => {
    try {
      await open().write([
        {
          sql: `UPDATE ${table} SET last_update = ${NOW} WHERE registration_id = ? AND address = ?`,
          params: [registration.id, registration.address],
          atLeast: 1,
        },
      ]);
    } catch (cause) {
      if (registration.closed) return;
      // Somebody removed the row (a clock that jumped, a cleanup elsewhere): put it back rather than stay unreachable.
      if (cause instanceof StepRefused) {
        log.warn(`the registration of ${registration.appId} was lost and is made again`);
        await insert(registration).catch((error: unknown) =>
          log.error(`Failed to update host registration: ${errorText(error)}`),
        );
      } else {
        log.error(`Failed to update host registration: ${errorText(cause)}`);
      }
    }
  };

  const schedule = (registration: Registration): void => {
    registration.timer = clock.startTimer(
      metadata.updateInterval - metadata.timeout - 1,
      () => {
        if (registration.closed) return;
        schedule(registration);
        void renew(registration);
      },
      true,
    );
  };

  const removeStale = async (): Promise<void> => {
    const seconds = Math.max(1, Math.floor(metadata.cleanupInterval / 1000));
    try {
      await open().write([
        {
          sql: `INSERT INTO ${metadata.metadataTableName} (key, value) VALUES ('nr-last-cleanup', CURRENT_TIMESTAMP)
            ON CONFLICT (key) DO UPDATE SET value = CURRENT_TIMESTAMP WHERE ${NOW} - unixepoch(value) > ?`,
          params: [seconds],
          atLeast: 1,
        },
        { sql: `DELETE FROM ${table} WHERE ${NOW} - last_update >= ?`, params: [aliveSeconds] },
      ]);
    } catch (cause) {
      if (!(cause instanceof StepRefused)) log.warn(`removing stale hosts failed: ${errorText(cause)}`);
    }
  };

  const scheduleCleanup = (): void => {
    if (metadata.cleanupInterval <= 0) return;
    cleanup = clock.startTimer(
      metadata.cleanupInterval,
      () => {
        scheduleCleanup();
        void removeStale();
      },
      true,
    );
  };

  const deregister = async (registration: Registration): Promise<void> => {
    if (registration.closed) return;
    registration.closed = true;
    registration.timer?.cancel();
    registrations.delete(registration);
    await database
      ?.write([
        {
          sql: `DELETE FROM ${table} WHERE registration_id = ? AND address = ?`,
          params: [registration.id, registration.address],
        },
      ])
      .catch((error: unknown) => log.warn(`failed to unregister host: ${errorText(error)}`));
  };

  return {
    async init(signal) {
      database = await openSqlite(metadata, [migration(metadata)], deps, signal);
      scheduleCleanup();
    },

    async register(announcement) {
      const registration: Registration = {
        id: deps.ids.uuid(),
        address: addressOf(announcement),
        appId: announcement.appId,
        timer: undefined,
        closed: false,
      };
      await insert(registration);
      registrations.add(registration);
      schedule(registration);
      return { close: () => deregister(registration) };
    },

    async resolve({ appId }) {
      const rows = open().read(
        `SELECT address FROM ${table} WHERE app_id = ? AND ${NOW} - last_update < ? ORDER BY RANDOM() LIMIT 1`,
        [appId, aliveSeconds],
      );
      const address = rows[0]?.['address'];
      if (typeof address !== 'string') throw new Error('no host found with the given ID');
      return address;
    },

    async close() {
      cleanup?.cancel();
      for (const registration of [...registrations]) await deregister(registration);
      const last = database;
      database = undefined;
      await last?.close();
    },
  };
}

function addressOf({ address, internalPort }: Announcement): string {
  return address.includes(':') ? `[${address}]:${internalPort}` : `${address}:${internalPort}`;
}

function migration({ tableName, metadataTableName }: NameSqliteMetadata): Migration {
  return {
    metadataTable: metadataTableName,
    key: 'nr-migrations',
    levels: [
      [
        `CREATE TABLE ${tableName} (
        registration_id TEXT NOT NULL PRIMARY KEY, address TEXT NOT NULL, app_id TEXT NOT NULL,
        namespace TEXT NOT NULL, last_update INTEGER NOT NULL)`,
        `CREATE UNIQUE INDEX ${tableName}_address_idx ON ${tableName} (address)`,
        `CREATE INDEX ${tableName}_last_update_idx ON ${tableName} (last_update)`,
      ],
    ],
  };
}

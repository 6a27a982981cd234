/** The relay's registry in SQLite: one relay, one file. Every change is on disk before it is answered. */

import type { Clock } from '../contracts/clock.ts';
import { type Database, type Migration, StepRefused } from '../contracts/database.ts';
import {
  type EnrolledNode,
  type Enrolment,
  FORGET_TOKENS_MS,
  nameTaken,
  type RelayRegistry,
  tokenRefusal,
} from './registry.ts';

export const RELAY_MIGRATION: Migration = {
  metadataTable: 'skerry_schema',
  key: 'relay',
  levels: [
    [
      `CREATE TABLE skerry_relay_node (
        name TEXT PRIMARY KEY, app_ids TEXT NOT NULL, key_hash TEXT NOT NULL, enrolled_at INTEGER NOT NULL,
        revoked_at INTEGER, last_contact INTEGER, last_reason TEXT
      ) STRICT`,
      `CREATE TABLE skerry_relay_token (
        hash TEXT PRIMARY KEY, app_ids TEXT NOT NULL, node TEXT, expires_at INTEGER NOT NULL, used_at INTEGER
      ) STRICT`,
    ],
  ],
};

type Row = Readonly<Record<string, unknown>>;

export function createSqliteRegistry(database: Database, clock: Pick<Clock, 'now'>): RelayRegistry {
  const find = (name: string): EnrolledNode | undefined => {
    const [row] = database.read('SELECT * FROM skerry_relay_node WHERE name = ?', [name]);
    return row === undefined ? undefined : nodeOf(row);
  };

  const refusal = (row: Row | undefined, wanted: string): string | undefined =>
    tokenRefusal(
      row && {
        used: row['used_at'] !== null,
        expired: Number(row['expires_at']) <= clock.now(),
        node: row['node'] === null ? undefined : String(row['node']),
      },
      wanted,
    );

  /** Marks the token and writes the node, both or nothing; tells why not. */
  const useToken = async (
    token: Row,
    hash: string,
    name: string,
    keyHash: string,
  ): Promise<string | undefined> => {
    const now = clock.now();
    try {
      await database.write([
        {
          sql: 'UPDATE skerry_relay_token SET used_at = ? WHERE hash = ? AND used_at IS NULL',
          params: [now, hash],
          atLeast: 1,
        },
        {
          sql: `INSERT INTO skerry_relay_node (name, app_ids, key_hash, enrolled_at) VALUES (?, ?, ?, ?)
            ON CONFLICT (name) DO UPDATE SET app_ids = excluded.app_ids, key_hash = excluded.key_hash,
              enrolled_at = excluded.enrolled_at, revoked_at = NULL WHERE ? = name`,
          params: [name, String(token['app_ids']), keyHash, now, token['node'] === null ? '' : name],
          atLeast: 1,
        },
      ]);
      return undefined;
    } catch (cause) {
      if (!(cause instanceof StepRefused)) throw cause;
      return cause.stepIndex === 0 ? 'the token was used already' : nameTaken(name);
    }
  };

  return {
    async addToken({ hash, appIds, node, ttlMs }) {
      await database.write([
        {
          sql: 'DELETE FROM skerry_relay_token WHERE expires_at < ?',
          params: [clock.now() - FORGET_TOKENS_MS],
        },
        {
          sql: 'INSERT INTO skerry_relay_token (hash, app_ids, node, expires_at) VALUES (?, ?, ?, ?)',
          params: [hash, JSON.stringify(appIds), node ?? null, clock.now() + ttlMs],
        },
      ]);
    },

    async enrol(tokenHash, { name, keyHash }): Promise<Enrolment> {
      const [token] = database.read('SELECT * FROM skerry_relay_token WHERE hash = ?', [tokenHash]);
      const reason = refusal(token, name);
      if (token === undefined || reason !== undefined) return { ok: false, reason: reason ?? '' };
      const fault = await useToken(token, tokenHash, name, keyHash);
      if (fault !== undefined) return { ok: false, reason: fault };
      const node = find(name);
      return node === undefined ? { ok: false, reason: 'the node is gone' } : { ok: true, node };
    },

    node: async (name) => find(name),
    nodes: async () => database.read('SELECT * FROM skerry_relay_node ORDER BY name').map(nodeOf),

    async revoke(name) {
      const [result] = await database.write([
        {
          sql: 'UPDATE skerry_relay_node SET revoked_at = ? WHERE name = ? AND revoked_at IS NULL',
          params: [clock.now(), name],
        },
      ]);
      return (result?.changes ?? 0) > 0;
    },

    async linkEnded(name, lastContact, reason) {
      await database.write([
        {
          sql: 'UPDATE skerry_relay_node SET last_contact = ?, last_reason = ? WHERE name = ?',
          params: [Math.trunc(lastContact), reason, name],
        },
      ]);
    },
  };
}

function nodeOf(row: Row): EnrolledNode {
  return {
    name: String(row['name']),
    appIds: JSON.parse(String(row['app_ids'])) as string[],
    keyHash: String(row['key_hash']),
    enrolledAt: Number(row['enrolled_at']),
    ...(row['revoked_at'] === null ? {} : { revokedAt: Number(row['revoked_at']) }),
    ...(row['last_contact'] === null ? {} : { lastContact: Number(row['last_contact']) }),
    ...(row['last_reason'] === null ? {} : { lastReason: String(row['last_reason']) }),
  };
}

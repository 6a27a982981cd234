/** The registry that relays share, in PostgreSQL. All times are those of the database's clock. */

import {
  type EnrolledNode,
  FORGET_TOKENS_MS,
  nameTaken,
  type RelayRegistry,
  tokenRefusal,
} from '../registry.ts';
import type { Postgres, Query, Row } from './connection.ts';

export const ms = (column: string): string => `(extract(epoch FROM ${column}) * 1000)::float8`;
export const NODE_COLUMNS = `name, app_ids, key_hash, ${ms('enrolled_at')} AS enrolled, ${ms('revoked_at')} AS revoked,
  ${ms('last_contact')} AS contact, last_reason`;

/** Rolls the transaction back and tells why. */
class Refused extends Error {}

export function createPostgresRegistry({ query, transaction }: Postgres): RelayRegistry {
  /** Why the conditional update took no token. */
  const refusal = async (ask: Query, hash: string, wanted: string): Promise<string> => {
    const [row] = await ask(
      'SELECT used_at IS NOT NULL AS used, expires_at <= now() AS expired, node FROM skerry_relay_token WHERE hash = $1',
      [hash],
    );
    const node = row?.['node'];
    return (
      tokenRefusal(
        row && {
          used: row['used'] === true,
          expired: row['expired'] === true,
          node: typeof node === 'string' ? node : undefined,
        },
        wanted,
      ) ?? 'the token was used already'
    );
  };

  return {
    async addToken({ hash, appIds, node, ttlMs }) {
      await query("DELETE FROM skerry_relay_token WHERE expires_at < now() - $1 * interval '1 millisecond'", [
        FORGET_TOKENS_MS,
      ]);
      await query(
        `INSERT INTO skerry_relay_token (hash, app_ids, node, expires_at)
          VALUES ($1, $2, $3, now() + $4 * interval '1 millisecond')`,
        [hash, appIds, node ?? null, ttlMs],
      );
    },

    enrol: (hash, { name, keyHash }) =>
      transaction(async (ask) => {
        const [token] = await ask(
          `UPDATE skerry_relay_token SET used_at = now()
            WHERE hash = $1 AND used_at IS NULL AND expires_at > now() AND coalesce(node, $2) = $2
            RETURNING app_ids, node`,
          [hash, name],
        );
        if (token === undefined) throw new Refused(await refusal(ask, hash, name));
        const [row] = await ask(
          `INSERT INTO skerry_relay_node AS known (name, app_ids, key_hash) VALUES ($1, $2, $3)
            ON CONFLICT (name) DO UPDATE SET app_ids = excluded.app_ids, key_hash = excluded.key_hash,
              enrolled_at = now(), revoked_at = NULL, changed_at = now() WHERE known.name = $4
            RETURNING ${NODE_COLUMNS}`,
          [name, token['app_ids'], keyHash, token['node']],
        );
        if (row === undefined) throw new Refused(nameTaken(name));
        return { ok: true as const, node: nodeOf(row) };
      }).catch((cause: unknown) => {
        if (cause instanceof Refused) return { ok: false as const, reason: cause.message };
        throw cause;
      }),

    async node(name) {
      const [row] = await query(`SELECT ${NODE_COLUMNS} FROM skerry_relay_node WHERE name = $1`, [name]);
      return row === undefined ? undefined : nodeOf(row);
    },

    nodes: async () =>
      (await query(`SELECT ${NODE_COLUMNS} FROM skerry_relay_node ORDER BY name COLLATE "C"`)).map(nodeOf),

    async revoke(name) {
      const rows = await query(
        `UPDATE skerry_relay_node SET revoked_at = now(), changed_at = now()
          WHERE name = $1 AND revoked_at IS NULL RETURNING name`,
        [name],
      );
      return rows.length > 0;
    },

    async linkEnded(name, lastContact, reason) {
      await query(
        'UPDATE skerry_relay_node SET last_contact = to_timestamp($2::float8 / 1000), last_reason = $3 WHERE name = $1',
        [name, lastContact, reason],
      );
    },
  };
}

export function nodeOf(row: Row): EnrolledNode {
  const time = (name: string): number | undefined =>
    row[name] === null ? undefined : Math.trunc(Number(row[name]));
  const [revokedAt, lastContact] = [time('revoked'), time('contact')];
  return {
    name: String(row['name']),
    appIds: row['app_ids'] as string[],
    keyHash: String(row['key_hash']),
    enrolledAt: time('enrolled') ?? 0,
    ...(revokedAt === undefined ? {} : { revokedAt }),
    ...(lastContact === undefined ? {} : { lastContact }),
    ...(row['last_reason'] === null ? {} : { lastReason: String(row['last_reason']) }),
  };
}

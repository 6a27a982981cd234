/** Leases and links of relays in PostgreSQL. */

import type { LinkRows, RelayIdentity } from '../link-rows.ts';
import type { Postgres } from './connection.ts';
import { ms } from './registry.ts';

const LEASE = "now() + interval '30 seconds'";
/** Relays that did not end are forgotten this long after their lease, with what is told of their nodes. */
const FORGET = "interval '5 seconds'";
const MOST_FOUND = 16;

export function createPostgresLinkRows({ query }: Postgres, self: RelayIdentity): LinkRows {
  const { id, address, internalAddress } = self;
  return {
    async renew() {
      await query(
        `INSERT INTO skerry_relay (id, address, internal_address, lease_until) VALUES ($1, $2, $3, ${LEASE})
          ON CONFLICT (id) DO UPDATE SET lease_until = excluded.lease_until`,
        [id, address, internalAddress],
      );
      await query(
        `WITH lost AS (DELETE FROM skerry_relay WHERE lease_until < now() - ${FORGET} RETURNING id, lease_until)
          UPDATE skerry_relay_node AS node SET last_contact = lost.lease_until, last_reason = 'its relay was lost'
          FROM skerry_relay_link AS link, lost WHERE link.relay = lost.id AND node.name = link.node`,
      );
      const mine = await query('SELECT node FROM skerry_relay_link WHERE relay = $1', [id]);
      const others = await query('SELECT id, address, internal_address FROM skerry_relay WHERE id <> $1', [
        id,
      ]);
      return {
        mine: mine.map(({ node }) => String(node)),
        others: others.map((row) => ({
          id: String(row['id']),
          address: String(row['address']),
          internalAddress: String(row['internal_address']),
        })),
      };
    },

    async put(links, fresh) {
      // In one order everywhere, so that no two relays wait for each other.
      const sorted = links.toSorted((one, other) => (one.node < other.node ? -1 : 1));
      const rows = await query(
        `INSERT INTO skerry_relay_link AS known (node, relay, app_ids)
          SELECT row->>'node', $1, ARRAY(SELECT jsonb_array_elements_text(row->'appIds')) FROM jsonb_array_elements($2) AS row
          ON CONFLICT (node) DO UPDATE SET relay = excluded.relay, app_ids = excluded.app_ids,
            since = CASE WHEN known.relay = excluded.relay THEN known.since ELSE now() END
            WHERE $3 OR known.relay = excluded.relay
              OR NOT EXISTS (SELECT FROM skerry_relay WHERE id = known.relay AND lease_until > now())
          RETURNING node`,
        [id, JSON.stringify(sorted), fresh],
      );
      return rows.map(({ node }) => String(node));
    },

    async drop(nodes) {
      await query('DELETE FROM skerry_relay_link WHERE relay = $1 AND node = ANY($2)', [id, nodes]);
    },

    async find(appId) {
      const rows = await query(
        `SELECT DISTINCT relay.id, relay.address FROM skerry_relay_link AS link JOIN skerry_relay AS relay ON relay.id = link.relay
          WHERE link.app_ids @> ARRAY[$1]::text[] AND relay.id <> $2 AND relay.lease_until > now() LIMIT ${MOST_FOUND}`,
        [appId, id],
      );
      return rows.map((row) => ({ id: String(row['id']), address: String(row['address']) }));
    },

    async changed(within) {
      const rows = await query(
        `SELECT name, key_hash, ${ms('revoked_at')} AS revoked FROM skerry_relay_node
          WHERE changed_at > now() - $1 * interval '1 millisecond'`,
        [within],
      );
      return rows.map((row) => ({
        name: String(row['name']),
        keyHash: String(row['key_hash']),
        ...(row['revoked'] === null ? {} : { revokedAt: Number(row['revoked']) }),
      }));
    },

    all: () => allLinks(query),

    async leave() {
      await query('DELETE FROM skerry_relay WHERE id = $1', [id]);
    },
  };
}

/** The links of all relays whose lease counts. */
export async function allLinks(query: Postgres['query']): ReturnType<LinkRows['all']> {
  const rows = await query(
    `SELECT link.node, link.relay, link.app_ids, ${ms('link.since')} AS since FROM skerry_relay_link AS link
      JOIN skerry_relay AS relay ON relay.id = link.relay WHERE relay.lease_until > now()`,
  );
  return rows.map((row) => ({
    node: String(row['node']),
    relay: String(row['relay']),
    appIds: row['app_ids'] as string[],
    since: Math.trunc(Number(row['since'])),
  }));
}

/** The tables that relays share, brought up to date by whichever relay comes first; and the one authority that all must have. */

import type { Postgres } from './connection.ts';

/** `LEVELS[n]` takes level n to n + 1. */
const LEVELS: readonly (readonly string[])[] = [
  [
    `CREATE TABLE skerry_relay_node (
      name text PRIMARY KEY, app_ids text[] NOT NULL, key_hash text NOT NULL,
      enrolled_at timestamptz NOT NULL DEFAULT now(), revoked_at timestamptz, last_contact timestamptz, last_reason text,
      changed_at timestamptz NOT NULL DEFAULT now()
    )`,
    'CREATE INDEX skerry_relay_node_changed ON skerry_relay_node (changed_at)',
    `CREATE TABLE skerry_relay_token (
      hash text PRIMARY KEY, app_ids text[] NOT NULL, node text, expires_at timestamptz NOT NULL, used_at timestamptz
    )`,
    `CREATE TABLE skerry_relay (
      id text PRIMARY KEY, address text NOT NULL, internal_address text NOT NULL, lease_until timestamptz NOT NULL
    )`,
    `CREATE TABLE skerry_relay_link (
      node text PRIMARY KEY, relay text NOT NULL REFERENCES skerry_relay (id) ON DELETE CASCADE, app_ids text[] NOT NULL,
      since timestamptz NOT NULL DEFAULT now()
    )`,
    'CREATE INDEX skerry_relay_link_relay ON skerry_relay_link (relay)',
    'CREATE INDEX skerry_relay_link_apps ON skerry_relay_link USING gin (app_ids)',
  ],
];

/** One relay at a time changes tables. */
const LOCK = 0x736b6572;

/** Brings an empty or older database to the current tables. */
export async function migrate(postgres: Postgres): Promise<void> {
  await postgres.transaction(async (query) => {
    await query('SELECT pg_advisory_xact_lock($1)', [LOCK]);
    await query('CREATE TABLE IF NOT EXISTS skerry_relay_meta (key text PRIMARY KEY, value text NOT NULL)');
    const [row] = await query("SELECT value FROM skerry_relay_meta WHERE key = 'schema'");
    const level = Number(row?.['value'] ?? 0);
    if (level > LEVELS.length)
      throw new Error(`the registry was made by a newer version (level ${level}, known: ${LEVELS.length})`);
    for (const statements of LEVELS.slice(level)) for (const sql of statements) await query(sql);
    await query(
      `INSERT INTO skerry_relay_meta (key, value) VALUES ('schema', $1)
        ON CONFLICT (key) DO UPDATE SET value = excluded.value`,
      [String(LEVELS.length)],
    );
  });
}

/** What all relays of one registry have in common. */
export interface Common {
  /** SHA-256 of the authority's certificate, in hex. */
  readonly authority: string;
  readonly trustDomain: string;
}

/** Records what the first relay has; throws where another one has something else. */
export async function agree({ query }: Postgres, { authority, trustDomain }: Common): Promise<void> {
  await query(
    `INSERT INTO skerry_relay_meta (key, value) VALUES ('authority', $1), ('trust_domain', $2) ON CONFLICT DO NOTHING`,
    [authority, trustDomain],
  );
  const known = await common(query);
  if (known?.authority !== authority)
    throw new Error(
      `the registry belongs to relays with the authority ${known?.authority}, and this one has ${authority}: ` +
        'give all relays the same --ca-cert and --ca-key',
    );
  if (known.trustDomain !== trustDomain)
    throw new Error(
      `the registry belongs to relays with --trust-domain ${known.trustDomain}, and this one has ${trustDomain}`,
    );
}

/** What the relays of this registry have in common; `undefined` before the first one. */
export async function common(query: Postgres['query']): Promise<Common | undefined> {
  const rows = await query(
    "SELECT key, value FROM skerry_relay_meta WHERE key IN ('authority', 'trust_domain')",
  );
  const values = new Map(rows.map(({ key, value }) => [key, String(value)]));
  const authority = values.get('authority');
  return authority === undefined
    ? undefined
    : { authority, trustDomain: values.get('trust_domain') ?? 'public' };
}

/**
 * The registry that relays share, as seen by a relay and by the commands that look into it without one: the same answers, whoever
 * gives them. Loads the database's client only when it is opened.
 */

import type { Random } from '../contracts/random.ts';
import { newToken, type TokenRequest } from './enrolling.ts';
import type { SeenLink } from './link-rows.ts';
import { openPostgres, type Postgres } from './postgres/connection.ts';
import { allLinks } from './postgres/link-rows.ts';
import { createPostgresRegistry } from './postgres/registry.ts';
import { agree, type Common, common, migrate } from './postgres/schema.ts';
import { RegistryAway, type RelayRegistry } from './registry.ts';
import { type NodeView, viewOf } from './relay.ts';

export interface SharedRegistry {
  readonly postgres: Postgres;
  readonly registry: RelayRegistry;
}

/** Opens the registry for a relay: its tables, and what all relays have in common. Rejects where that differs. */
export async function openSharedRegistry(
  url: string,
  own: Common,
  lost: (reason: string) => void,
): Promise<SharedRegistry> {
  const postgres = await openPostgres(url, lost);
  try {
    await migrate(postgres);
    await agree(postgres, own);
    return { postgres, registry: createPostgresRegistry(postgres) };
  } catch (cause) {
    await postgres.close();
    throw cause;
  }
}

/** `registry` that does not wait for what is known to be away. */
export function failingFast(registry: RelayRegistry, reachable: () => boolean): RelayRegistry {
  const check = (): void => {
    if (!reachable()) throw new RegistryAway('the registry cannot be reached');
  };
  return {
    ...registry,
    node: async (name) => {
      check();
      return await registry.node(name);
    },
    enrol: async (hash, node) => {
      check();
      return await registry.enrol(hash, node);
    },
  };
}

/** Nodes with their links, whichever relay has them. */
export function withLinks(views: readonly NodeView[], links: readonly SeenLink[]): readonly NodeView[] {
  const byNode = new Map(links.map((link) => [link.node, link]));
  return views.map((view) => {
    const link = byNode.get(view.node);
    if (link === undefined || view.state === 'revoked') return view;
    if (view.state === 'up') return { ...view, relay: link.relay };
    const { node, enrolled, calls } = view;
    return {
      node,
      state: 'up',
      enrolled,
      announced: link.appIds,
      since: link.since,
      relay: link.relay,
      calls,
    };
  });
}

export interface RegistryDesk {
  token(request: TokenRequest): Promise<string>;
  revoke(node: string): Promise<boolean>;
  nodes(): Promise<readonly NodeView[]>;
  close(): Promise<void>;
}

/** The registry without a relay. Rejects where no relay has used it yet. */
export async function openRegistryDesk(url: string, random: Random): Promise<RegistryDesk> {
  const postgres = await openPostgres(url, () => {});
  const { query } = postgres;
  const registry = createPostgresRegistry(postgres);
  const [known] = await query("SELECT to_regclass('skerry_relay_meta') IS NOT NULL AS known");
  const has = known?.['known'] === true ? await common(query) : undefined;
  if (has === undefined) {
    await postgres.close();
    throw new Error('no relay has used this registry yet: start one first');
  }
  return {
    token: (request) => newToken(registry, random, Buffer.from(has.authority, 'hex'), request),
    revoke: (node) => registry.revoke(node),
    nodes: async () =>
      withLinks(
        (await registry.nodes()).map((node) => viewOf(node)),
        await allLinks(query),
      ),
    close: () => postgres.close(),
  };
}

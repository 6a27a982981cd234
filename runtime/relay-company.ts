/** A relay among others of one registry: its port for them, its lease, and the calls that they hand to each other. */

import { hostname } from 'node:os';
import type { Random } from './contracts/random.ts';
import { createFarRelays, type FarRelaysOptions } from './relay/far-relays.ts';
import type { LinkRows } from './relay/link-rows.ts';
import type { LinkTable } from './relay/link-table.ts';
import { createPostgresLinkRows } from './relay/postgres/link-rows.ts';
import type { RelayRegistry } from './relay/registry.ts';
import type { Relay } from './relay/relay.ts';
import { createSharedLinks, type SharedLinks, tellingTable } from './relay/shared-links.ts';
import { failingFast, openSharedRegistry, withLinks } from './relay/shared-registry.ts';
import type { Elsewhere } from './relay/switchboard.ts';

export interface CompanyOptions extends Omit<FarRelaysOptions, 'id'> {
  /** Connection string of the registry. */
  readonly registry: string;
  readonly random: Random;
  /** Where others reach this machine. */
  readonly host: string;
  /** The links of this relay. */
  readonly relay: () => Pick<Relay, 'changed'>;
}

export interface Company {
  readonly registry: RelayRegistry;
  readonly elsewhere: Elsewhere;
  /** Whether sidecars reach another relay there. */
  isOther(address: string): boolean;
  /** Takes the lease for a relay with these links, whose sidecars call at `internalPort`; the table to use from then on. */
  join(links: LinkTable, internalPort: number): Promise<LinkTable>;
  /** The nodes with the links of all relays. */
  nodes(views: Relay['nodes']): Relay['nodes'];
  close(): Promise<void>;
}

const ID_BYTES = 4;

/** Opens the registry and the port for other relays. Rejects with what is wrong. */
export async function openCompany(options: CompanyOptions): Promise<Company> {
  const { authority, trustDomain, clock, log, metrics, random } = options;
  const { postgres, registry } = await openSharedRegistry(
    options.registry,
    { authority: Buffer.from(authority.fingerprint).toString('hex'), trustDomain },
    (reason) => log.debug(`a connection to the registry broke: ${reason}`),
  );
  const mark = Buffer.from(random.bytes(ID_BYTES)).toString('hex');
  const id = `${hostname()
    .replace(/[^A-Za-z0-9._-]/g, '-')
    .slice(0, 60)}-${mark}`;
  const relays = createFarRelays({ ...options, id });
  let shared: SharedLinks | undefined;
  let rows: LinkRows | undefined;
  const close = async (): Promise<void> => {
    await shared?.close();
    await relays.close();
    await postgres.close();
  };
  const port = await relays.listen().catch(async (cause: unknown) => {
    await close();
    throw cause;
  });
  const at = (where: number): string =>
    options.host.includes(':') ? `[${options.host}]:${where}` : `${options.host}:${where}`;

  return {
    registry: failingFast(registry, () => shared?.reachable ?? true),
    elsewhere: {
      find: async (appId) => (await shared?.find(appId)) ?? [],
      forget: (appId) => shared?.forget(appId),
      open: (relay, call, metadata) => relays.open(relay, call, metadata),
    },
    isOther: (address) => shared?.others.some(({ internalAddress }) => internalAddress === address) === true,
    async join(links, internalPort) {
      const self = { id, address: at(port), internalAddress: at(internalPort) };
      rows = createPostgresLinkRows(postgres, self);
      const joined = createSharedLinks({
        rows,
        links,
        clock,
        log,
        metrics,
        changed: (node) => options.relay().changed(node),
        moved: (node) => links.get(node)?.link.close('the node has a newer link to another relay'),
      });
      shared = joined;
      await joined.start();
      log.info('relay shares its registry', { relay: id, relays_address: self.address });
      return tellingTable(links, joined);
    },
    nodes: (views) => async () => withLinks(await views(), (await rows?.all()) ?? []),
    close,
  };
}

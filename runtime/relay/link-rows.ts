/**
 * What relays tell each other through their registry: who has which links. A relay's rows count while its lease does, which is
 * one row for the relay and not one for each link: they live and die together.
 */

import type { EnrolledNode } from './registry.ts';

/** A relay as the others see it. */
export interface RelayIdentity {
  /** Of this start of the process: what an earlier one left behind is not its own. */
  readonly id: string;
  /** `host:port` where other relays hand over calls. */
  readonly address: string;
  /** `host:port` where sidecars call. */
  readonly internalAddress: string;
}

export interface LinkRow {
  readonly node: string;
  readonly appIds: readonly string[];
}

/** A link at any relay. */
export interface SeenLink extends LinkRow {
  readonly relay: string;
  /** Wall clock. */
  readonly since: number;
}

export interface FarRelay {
  readonly id: string;
  readonly address: string;
}

export interface LinkRows {
  /** Takes or renews the lease; the nodes whose links count as this relay's, and the other relays. */
  renew(): Promise<{ readonly mine: readonly string[]; readonly others: readonly RelayIdentity[] }>;
  /**
   * Writes links, and resolves with the nodes whose links are this relay's from then on. With `fresh` a link takes over from
   * that of another relay; without, only where there is none that counts.
   */
  put(links: readonly LinkRow[], fresh: boolean): Promise<readonly string[]>;
  /** Removes links where they are still this relay's. */
  drop(nodes: readonly string[]): Promise<void>;
  /** Other relays that have a link to a node with this app. */
  find(appId: string): Promise<readonly FarRelay[]>;
  /** Nodes that were enrolled or revoked within the last `ms`. */
  changed(ms: number): Promise<readonly Pick<EnrolledNode, 'name' | 'keyHash' | 'revokedAt'>[]>;
  /** The links of all relays whose lease counts. */
  all(): Promise<readonly SeenLink[]>;
  /** Ends the lease and with it the links. */
  leave(): Promise<void>;
}

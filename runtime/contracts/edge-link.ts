/** The link of a node to its relay, as the sidecars of the node use it. */

import type { IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import type { SpiffeId } from './spiffe.ts';

/** Takes one call that came over the link; `callerId` is who calls as the relay knows it. */
export type ServeLinkStream = (
  stream: ServerHttp2Stream,
  fields: IncomingHttpHeaders,
  rawHeaders: readonly string[],
  callerId: SpiffeId | undefined,
) => void;

/** One app of this node that can be called through the relay. */
export interface LinkedApp {
  readonly appId: string;
  readonly namespace: string;
  readonly serve: ServeLinkStream;
}

/** How the link is. Times are wall clock. */
export interface LinkState {
  readonly relay: string;
  readonly node: string;
  readonly up: boolean;
  readonly since: number;
  /** Why it is down. */
  readonly reason?: string;
  readonly lastContact?: number;
  /** App ids that the relay announces for this node. */
  readonly appIds: readonly string[];
  /** App ids of this node that it was not enrolled for. */
  readonly refused: readonly string[];
  readonly certificateExpiresAt: number;
}

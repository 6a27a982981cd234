/** How the link of a node to its relay is, for people and for metrics. */

/** Times are wall clock. */
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

/**
 * A link between an edge and its cloud that a test can make slow, lossy, silent or broken. Two kinds: a wire between two
 * network namespaces, where it is packets that are late or lost, and a TCP proxy on loopback for machines without them.
 */

export type Mode = 'up' | 'silent' | 'reset';

export interface LinkState {
  /** `silent`: nothing arrives and nobody is told; `reset`: whoever sends is told that the connection is gone. */
  readonly mode: Mode;
  /** One way. */
  readonly delayMs: number;
  /** Share of the packets that are lost, 0 to 1. */
  readonly loss: number;
}

export const HEALED: LinkState = { mode: 'up', delayMs: 0, loss: 0 };

/** Bytes on the wire since the start; packets only where there are packets. */
export interface LinkCounts {
  readonly up: number;
  readonly down: number;
  readonly packets: number;
}

export type Side = 'edge' | 'cloud';

export interface Link {
  readonly kind: 'wire' | 'proxy';
  readonly losesPackets: boolean;
  set(state: LinkState): Promise<void>;
  counts(): Promise<LinkCounts>;
  /** A command as it must be started to run at a side. */
  command(side: Side, command: string, args: readonly string[]): readonly [string, readonly string[]];
  /** Where the test reaches what listens at a side. */
  address(side: Side): string;
  /** Where a side reaches what the test listens on. */
  host(side: Side): string;
  /** `host:port` of a port of the cloud, as the edge sees it. */
  across(port: number): Promise<string>;
  close(): Promise<void>;
}

/** How one flow of a Sync resource stands, as people and programs are told. */

import type { SyncDirection } from './resource.ts';

/**
 * `up`: the other side answered last time; `down`: nobody is there; `parked`: an error that repeats, `reason` says which;
 * `quiet`: resting by its quiet hours or its budget; `unknown`: nothing was tried so far.
 */
export type LinkState = 'up' | 'down' | 'parked' | 'quiet' | 'unknown';

export interface SyncFlowStatus {
  /** `<Sync>/<flow>`. */
  readonly name: string;
  readonly kind: 'topic' | 'state';
  readonly direction: SyncDirection;
  readonly local: string;
  readonly remote: string;
  readonly link: LinkState;
  readonly reason?: string;
  /** What still has to travel. */
  readonly lag: { readonly messages: number; readonly bytes: number; readonly seconds: number };
  readonly conflicts: number;
  /** Keys or messages that the other side refuses for good, set aside with their errors. */
  readonly refused: number;
  /** RFC 3339; absent before the first. */
  readonly lastContact?: string;
  /** Since midnight UTC. */
  readonly bytesToday: { readonly up: number; readonly down: number };
  readonly messagesToday: { readonly up: number; readonly down: number };
}

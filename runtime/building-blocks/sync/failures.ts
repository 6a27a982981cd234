/**
 * What a failure says about the link: nobody is there (try again soon, for ever), or the other side said no (try again a
 * few times, then rest with the error shown).
 */

import { errorText } from '../../contracts/error.ts';
import type { LinkState } from '../../contracts/sync-status.ts';

const PARK_AFTER = 3;
const FIRST_GATEWAY_STATUS = 502;

/** By name and status, since the errors of components are theirs (`drivers/dapr-api/far-sidecar.ts`). */
export function isOutage(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  if (error.name === 'LinkDownError') return true;
  if (error.name === 'FarSidecarError')
    return Number((error as Error & { status?: number }).status) >= FIRST_GATEWAY_STATUS;
  return error.cause !== undefined && isOutage(error.cause);
}

/** The state of one link as attempts show it. */
export class LinkRecord {
  state: LinkState = 'unknown';
  reason: string | undefined;
  /** Wall clock of the last answer. */
  lastContact: number | undefined;
  #repeats = 0;

  worked(now: number): void {
    this.state = 'up';
    this.reason = undefined;
    this.lastContact = now;
    this.#repeats = 0;
  }

  /** By a component that watches its own connection. */
  told({ up, reason }: { readonly up: boolean; readonly reason?: string }, now: number): void {
    if (up) {
      this.lastContact = now;
      // What is refused on this side stays to be seen.
      if (this.state === 'parked') return;
      this.state = 'up';
      this.reason = undefined;
    } else if (reason !== undefined) {
      this.state = 'down';
      this.reason = reason;
    }
  }

  resting(reason: string): void {
    this.state = 'quiet';
    this.reason = reason;
  }

  failed(error: unknown, now: number): void {
    const text = errorText(error);
    if (isOutage(error)) {
      this.state = 'down';
      this.#repeats = 0;
    } else {
      this.lastContact = now;
      this.#repeats = text === this.reason ? this.#repeats + 1 : 1;
      this.state = this.#repeats >= PARK_AFTER ? 'parked' : 'up';
    }
    this.reason = text;
  }
}

/** The `lock.in-memory` store: locks among the apps of one node, gone with the process. Expiry counts elapsed time. */

import type { Clock } from '../../../runtime/contracts/clock.ts';
import type { LockStore, UnlockStatus } from '../../../runtime/contracts/lock-store.ts';

interface Held {
  readonly owner: string;
  readonly expiresAt: number;
}

/** Locks between two looks for expired ones. */
const SWEEP_EVERY = 1024;

export class LockInMemory implements LockStore {
  readonly #clock: Clock;
  readonly #locks = new Map<string, Held>();
  #taken = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  async init(): Promise<void> {}

  async close(): Promise<void> {
    this.#locks.clear();
  }

  async tryLock(resource: string, owner: string, expirySeconds: number): Promise<boolean> {
    if (this.#held(resource) !== undefined) return false;
    this.#locks.set(resource, { owner, expiresAt: this.#clock.monotonicMs() + expirySeconds * 1000 });
    this.#taken += 1;
    if (this.#taken % SWEEP_EVERY === 0) for (const key of this.#locks.keys()) this.#held(key);
    return true;
  }

  async unlock(resource: string, owner: string): Promise<UnlockStatus> {
    const held = this.#held(resource);
    if (held === undefined) return 'missing';
    if (held.owner !== owner) return 'owned-by-other';
    this.#locks.delete(resource);
    return 'released';
  }

  /** The lock unless it has expired. */
  #held(resource: string): Held | undefined {
    const held = this.#locks.get(resource);
    if (held === undefined || held.expiresAt > this.#clock.monotonicMs()) return held;
    this.#locks.delete(resource);
    return undefined;
  }
}

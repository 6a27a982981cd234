/** A distributed lock component. */

import type { ComponentInstance } from './component.ts';

/** Dapr's unlock status numbers are assigned by the block. */
export type UnlockStatus = 'released' | 'missing' | 'owned-by-other' | 'internal-error';

export interface LockStore extends ComponentInstance {
  /** True when `owner` now holds `resource` for `expirySeconds`. */
  tryLock(resource: string, owner: string, expirySeconds: number, signal: AbortSignal): Promise<boolean>;
  unlock(resource: string, owner: string, signal: AbortSignal): Promise<UnlockStatus>;
}

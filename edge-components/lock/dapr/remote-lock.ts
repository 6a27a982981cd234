/** Locks that another sidecar keeps (Dapr lock API, v1.0-alpha1). A lock that cannot be asked for is not held. */

import type { ComponentDeps } from '../../../runtime/contracts/component.ts';
import type { LockStore, UnlockStatus } from '../../../runtime/contracts/lock-store.ts';
import type { ConnectionItems } from '../../drivers/dapr-api/connection-items.ts';
import { createFarSidecar, farJson } from '../../drivers/dapr-api/far-sidecar.ts';

/** Dapr's numbers of `UnlockResponse.Status`. */
const UNLOCK_STATUS: readonly UnlockStatus[] = ['released', 'missing', 'owned-by-other', 'internal-error'];

export function createRemoteLock(items: ConnectionItems, deps: ComponentDeps): LockStore {
  const far = createFarSidecar(items, deps);
  const ask = async (verb: 'lock' | 'unlock', body: object, signal: AbortSignal): Promise<unknown> =>
    farJson(
      await far.call({
        method: 'POST',
        path: ['v1.0-alpha1', verb, far.remoteName],
        body: JSON.stringify(body),
        signal,
      }),
    );
  return {
    init: () => far.open(),
    close: async () => far.close(),
    tryLock: async (resourceId, lockOwner, expiryInSeconds, signal) => {
      const answer = await ask('lock', { resourceId, lockOwner, expiryInSeconds }, signal);
      return (answer as { success?: unknown } | undefined)?.success === true;
    },
    unlock: async (resourceId, lockOwner, signal) => {
      const answer = await ask('unlock', { resourceId, lockOwner }, signal);
      const status = (answer as { status?: unknown } | undefined)?.status ?? 0;
      return (typeof status === 'number' ? UNLOCK_STATUS[status] : undefined) ?? 'internal-error';
    },
  };
}

/** Distributed locks over gRPC (gRPC reference, section 2.5). */

import {
  TryLockRequestSchema,
  TryLockResponseSchema,
  UnlockRequestSchema,
  UnlockResponseSchema,
} from '../../generated/dapr/proto/runtime/v1/lock_pb.ts';
import { type Operations, type ServiceDeps, unary } from './method.ts';

/** The lock operations. */
export function lockOperations({ blocks: { lock } }: ServiceDeps): Operations<'lockTry' | 'lockUnlock'> {
  return {
    lockTry: unary(
      TryLockRequestSchema,
      TryLockResponseSchema,
      async ({ storeName, resourceId, lockOwner, expiryInSeconds }, call) => ({
        success: await lock.tryLock(storeName, { resourceId, lockOwner, expiryInSeconds }, call),
      }),
    ),
    lockUnlock: unary(
      UnlockRequestSchema,
      UnlockResponseSchema,
      async ({ storeName, resourceId, lockOwner }, call) => ({
        status: await lock.unlock(storeName, { resourceId, lockOwner }, call),
      }),
    ),
  };
}

/** Distributed lock over HTTP (Dapr HTTP reference, section 14). Both answers always carry their member. */

import type { LockBlock } from '../../contracts/blocks.ts';
import { type MessageFields, readMessage } from '../message-fields.ts';
import { jsonReply } from '../respond.ts';
import type { HttpHandlers } from '../router.ts';

const INT32 = 2 ** 31;

const owner = (fields: MessageFields): { resourceId: string; lockOwner: string } => ({
  resourceId: fields.text('resourceId') ?? '',
  lockOwner: fields.text('lockOwner') ?? '',
});

export function lockHandlers(lock: LockBlock): Pick<HttpHandlers, 'lockTry' | 'lockUnlock'> {
  return {
    lockTry: async (request) => {
      const wanted = await readMessage(request, (fields) => ({
        ...owner(fields),
        expiryInSeconds: fields.integer('expiryInSeconds', -INT32, INT32 - 1) ?? 0,
      }));
      const success = await lock.tryLock(request.param(0), wanted, request.call);
      return jsonReply(200, `{"success":${success}}`);
    },
    lockUnlock: async (request) => {
      const given = await readMessage(request, owner);
      const status = await lock.unlock(request.param(0), given, request.call);
      return jsonReply(200, `{"status":${status}}`);
    },
  };
}

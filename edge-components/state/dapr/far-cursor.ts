/**
 * How far this node's changes have come, kept at the far side in the transaction that brings them: one key whose ETag every
 * transaction demands. A request that a dead connection, or a dead process, delivers late finds another ETag and is refused
 * whole, so it cannot put an older value over a newer one; and a change whose answer was lost is known to be there.
 */

import { createHash } from 'node:crypto';
import type { StateOperation, StateStore } from '../../../runtime/contracts/state-store.ts';
import { textOf } from './queued-change.ts';

export interface CursorState {
  /** Undefined: there is no cursor yet. */
  readonly etag: string | undefined;
  /** The last change that is over there. */
  readonly changeId: string | undefined;
}

const NAME = 'skerry-cursor-';
const HASH_LENGTH = 16;

/** The key of a node and component: two nodes never have the same, whatever app ids they carry. */
export function cursorKey(nodeKey: Uint8Array, owner: string): string {
  return NAME + createHash('sha256').update(nodeKey).update(owner).digest('hex').slice(0, HASH_LENGTH);
}

export async function readCursor(remote: StateStore, key: string, signal: AbortSignal): Promise<CursorState> {
  const record = await remote.get({ key, consistency: 'strong', metadata: {} }, signal);
  const text = textOf(record);
  if (text === null) return { etag: undefined, changeId: undefined };
  const { id } = JSON.parse(text) as { id?: string };
  return { etag: record?.etag, changeId: id };
}

/** Moves the cursor to a change, from where it was. */
export function moveCursor(key: string, from: CursorState, changeId: string): StateOperation {
  return {
    kind: 'upsert',
    key,
    value: { bytes: Buffer.from(JSON.stringify({ id: changeId })), json: true },
    options: { concurrency: 'first-write', consistency: 'strong' },
    metadata: {},
    ...(from.etag === undefined ? {} : { etag: from.etag }),
  };
}

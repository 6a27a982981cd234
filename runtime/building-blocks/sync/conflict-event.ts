/** A conflict as people and programs are told of it: both versions, so that neither is lost, and which one was kept. */

import { createHash } from 'node:crypto';
import type { ConflictRule } from '../../contracts/resource.ts';
import type { ConflictRow } from './flow-record.ts';
import type { Conflict } from './review.ts';
import type { SideRecord } from './state-side.ts';

export interface ConflictFacts {
  readonly key: string;
  readonly remoteKey: string;
  readonly rule: ConflictRule;
  readonly local: SideRecord | undefined;
  readonly remote: SideRecord | undefined;
  readonly conflict: Conflict;
}

export const CONFLICT_TYPE = 'dev.skerry.sync.conflict';

/** The data of the event; its id is the same when the same conflict is found again. */
export function conflictEvent(facts: ConflictFacts, flow: string): ConflictRow {
  const { key, remoteKey, rule, local, remote, conflict } = facts;
  const event = JSON.stringify({
    flow,
    key,
    ...(remoteKey === key ? {} : { remoteKey }),
    rule,
    kept: conflict.kept,
    ...(conflict.fields === undefined ? {} : { fields: conflict.fields.map(({ path }) => path) }),
    local: local === undefined ? null : JSON.parse(local.text),
    remote: remote === undefined ? null : JSON.parse(remote.text),
  });
  const versions = `${flow}\n${key}\n${local?.etag}\n${remote?.etag}\n${event}`;
  return { id: createHash('sha256').update(versions).digest('hex').slice(0, 32), event };
}

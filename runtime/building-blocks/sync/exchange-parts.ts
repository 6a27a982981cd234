/** What the steps of a state flow's turn have in common. */

import type { Clock } from '../../contracts/clock.ts';
import type { Ids } from '../../contracts/ids.ts';
import type { ConflictRule, StateFlowSpec } from '../../contracts/resource.ts';
import type { StateJournal } from '../../contracts/state-store.ts';
import type { ConflictFacts } from './conflict-event.ts';
import type { FlowRecord } from './flow-record.ts';
import type { Limiter } from './limits.ts';
import type { ANY, SideRecord, StateSide } from './state-side.ts';
import type { KeyNames } from './synced-keys.ts';

export interface ExchangeParts {
  readonly spec: StateFlowSpec;
  /** Who applies what comes down: unique in the node. */
  readonly origin: string;
  readonly headKey: string;
  readonly names: KeyNames;
  readonly near: StateSide;
  readonly far: StateSide;
  readonly journal: StateJournal;
  readonly record: FlowRecord;
  readonly limiter: Limiter;
  readonly ids: Ids;
  readonly clock: Clock;
  /** Whether the filter lets this value travel. */
  readonly passes: (key: string, value: SideRecord | undefined) => boolean;
  /** One batch at a time over the link. */
  readonly inTurn: <T>(work: () => Promise<T>) => Promise<T>;
  readonly carried: (way: 'up' | 'down', messages: number, bytes: number) => void;
  readonly conflict: (facts: ConflictFacts) => void;
  readonly note: (text: string) => void;
}

/** A change that goes over. */
export interface Push {
  readonly key: string;
  readonly remoteKey: string;
  /** Absent: the key is deleted. */
  readonly bytes: Uint8Array | undefined;
  readonly text: string | undefined;
  /** The version over there that it replaces. */
  readonly etag: string | undefined | typeof ANY;
  readonly stamp: number;
  /** RFC 3339, where the local value ends by itself. */
  readonly expires: string | undefined;
}

/** Keys of one batch. */
export const BATCH_KEYS = 100;
/** What a change costs besides its key and value, roughly. */
export const FRAME_BYTES = 64;

export function pushOf(
  key: string,
  remoteKey: string,
  value: SideRecord | undefined,
  etag: Push['etag'],
  stamp: number,
): Push {
  return { key, remoteKey, bytes: value?.bytes, text: value?.text, etag, stamp, expires: value?.expires };
}

/** A flow that only comes down has one truth. */
export function ruleOf({ direction, conflict }: StateFlowSpec): ConflictRule {
  return direction === 'down' ? 'cloud-wins' : conflict;
}

/** The shorter of the flow's time to live and what is left of the value's own. */
export function ttlMetadata(
  ttlMs: number,
  expires: string | undefined,
  nowMs: number,
): Readonly<Record<string, string>> {
  const left =
    expires === undefined
      ? Number.POSITIVE_INFINITY
      : Temporal.Instant.from(expires).epochMilliseconds - nowMs;
  const shorter = Math.min(ttlMs === 0 ? Number.POSITIVE_INFINITY : ttlMs, left);
  return Number.isFinite(shorter) ? { ttlInSeconds: String(Math.max(1, Math.ceil(shorter / 1000))) } : {};
}

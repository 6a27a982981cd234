/** A change of state on its way to the far side, as it stands in the queue. */

import { isDeepStrictEqual } from 'node:util';
import type { StateOperation, StateRecord } from '../../../runtime/contracts/state-store.ts';

/** What must hold over there: nothing, that the key is absent, the ETag, or (its ETag is not known) the value it was built on. */
export type Condition =
  | { readonly absent: true }
  | { readonly etag: string }
  | { readonly base: string | null };

export interface QueuedOperation {
  readonly key: string;
  /** JSON text; null deletes. */
  readonly value: string | null;
  readonly consistency: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly condition?: Condition;
}

export interface QueuedChange {
  /** Stays the same however often it is sent. */
  readonly id: string;
  readonly at: number;
  readonly operations: readonly QueuedOperation[];
  /** A transaction: all or nothing over there too. */
  readonly whole: boolean;
  readonly metadata: Readonly<Record<string, string>>;
}

export interface Queued extends QueuedChange {
  readonly sequence: number;
  readonly characters: number;
}

export const isConditional = ({ operations }: QueuedChange): boolean =>
  operations.some(({ condition }) => condition !== undefined);

/** The operation as the far side's API takes it. */
export function toOperation(operation: QueuedOperation, etag?: string): StateOperation {
  const { key, value, consistency, metadata, condition } = operation;
  const absent = condition !== undefined && 'absent' in condition;
  const common = {
    key,
    metadata,
    options: { consistency, concurrency: absent || etag !== undefined ? 'first-write' : '' },
    ...(etag === undefined ? {} : { etag }),
  };
  if (value === null) return { kind: 'delete', ...common };
  return { kind: 'upsert', ...common, value: { bytes: Buffer.from(value), json: true } };
}

export const textOf = (record: StateRecord | undefined): string | null =>
  record === undefined ? null : Buffer.from(record.value).toString('utf8');

/** Whether two JSON texts say the same: a store may write them in another form. */
export function sameValue(one: string | null, other: string | null): boolean {
  if (one === other) return true;
  if (one === null || other === null) return false;
  try {
    return isDeepStrictEqual(JSON.parse(one), JSON.parse(other));
  } catch {
    return false;
  }
}

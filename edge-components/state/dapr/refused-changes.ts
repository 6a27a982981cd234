/**
 * Where changes of state that the far side refused can be seen: parked messages of the node's store-and-forward queues, under
 * the name of the app and the component, with the reason, the keys, the values and what stands over there in their place. They
 * stay there until somebody drops them. Where the component names a topic they are published on it before they are parked.
 */

import type { ComponentDeps } from '../../../runtime/contracts/component.ts';
import { errorText } from '../../../runtime/contracts/error.ts';
import { parseExact } from '../../../runtime/contracts/exact-json.ts';
import type { DeliveryOutcome, Spool, StoredMessage } from '../../../runtime/contracts/spool.ts';
import type { StateRecord } from '../../../runtime/contracts/state-store.ts';
import { type QueuedChange, textOf } from './queued-change.ts';
import { ownKey } from './wire.ts';

export interface RefusedChange {
  readonly change: QueuedChange;
  readonly reason: string;
  /** Somebody else changed a key; otherwise the far side cannot take it. */
  readonly conflict: boolean;
  /** What the far side has, by key. */
  readonly there: ReadonlyMap<string, StateRecord | undefined>;
}

export interface RefusedChanges {
  open(): Promise<void>;
  /** Resolves when it is on disk. */
  keep(refused: RefusedChange): Promise<void>;
  close(): Promise<void>;
}

export interface ConflictTarget {
  readonly conflictPubsub: string;
  readonly conflictTopic: string;
}

/** Types of the events. */
const TYPES = { conflict: 'dev.skerry.state.conflict', refused: 'dev.skerry.state.refused' };
const MAX_MESSAGES = 10_000;
const MAX_BYTES = 64 * 1024 * 1024;

interface KeptOperation {
  readonly key: string;
  readonly value: unknown;
  readonly remote: unknown;
}

export function createRefusedChanges(
  target: ConflictTarget,
  deps: Pick<ComponentDeps, 'appId' | 'componentName' | 'spools' | 'log' | 'metrics' | 'namespace' | 'tell'>,
): RefusedChanges {
  const { conflictPubsub: pubsub, conflictTopic: topic } = target;
  let spool: Spool | undefined;

  const tell = async ({ headers, payload }: StoredMessage, signal: AbortSignal): Promise<void> => {
    const { kind = '', reason = '', changeId = '', changedAt = '' } = headers;
    const changes = parseExact(Buffer.from(payload).toString('utf8')) as KeptOperation[];
    const data = JSON.stringify({
      component: deps.componentName,
      kind,
      reason,
      changeId,
      changedAt: Temporal.Instant.fromEpochMilliseconds(Number(changedAt)).toString(),
      changes: changes.map((change) => ({ ...change, key: ownKey(change.key) })),
    });
    const type = kind === 'conflict' ? TYPES.conflict : TYPES.refused;
    await deps.tell?.({ pubsub, topic, id: changeId, type, data }, signal);
  };
  const deliver = async (message: StoredMessage, signal: AbortSignal): Promise<DeliveryOutcome> => {
    if (topic !== '') {
      try {
        await tell(message, signal);
      } catch (error) {
        return { retry: `its event cannot be published on ${pubsub}/${topic}: ${errorText(error)}` };
      }
    }
    return { park: message.headers['reason'] ?? 'refused' };
  };

  return {
    open: async () => {
      spool = await deps.spools.open({
        name: `${deps.appId}/${deps.componentName}`,
        maxMessages: MAX_MESSAGES,
        maxBytes: MAX_BYTES,
        // The oldest are counted as dropped, with a warning.
        whenFull: 'drop-oldest',
        ttlMs: 0,
      });
      spool.drain(deliver);
    },
    keep: async ({ change: { id, at, operations }, reason, conflict, there }) => {
      if (spool === undefined) throw new Error(`component ${deps.componentName} is closed`);
      const keys = operations.map(({ key }) => key).join(', ');
      const kind = conflict ? 'conflict' : 'refused';
      const kept = operations.map(
        ({ key, value }) =>
          `{"key":${JSON.stringify(key)},"value":${value},"remote":${jsonTextOf(there.get(key))}}`,
      );
      await spool.append({
        key: keys,
        priority: 4,
        headers: {
          kind,
          reason: `${kind}: ${reason}`,
          keys,
          changeId: id,
          changedAt: String(at),
        },
        payload: Buffer.from(`[${kept.join(',')}]`),
      });
      deps.metrics.count('state_refused_changes', {
        component: deps.componentName,
        namespace: deps.namespace,
        kind,
      });
      deps.log.warn(
        `${deps.componentName}: a change of ${keys} was refused by the far side (${kind}: ${reason}); it is kept in queue ${deps.appId}/${deps.componentName}`,
      );
    },
    close: async () => {
      await spool?.close();
      spool = undefined;
    },
  };
}

/** JSON of a value over there; what is none as a string. */
function jsonTextOf(record: StateRecord | undefined): string {
  const text = textOf(record);
  if (text === null) return 'null';
  try {
    JSON.parse(text);
    return text;
  } catch {
    return JSON.stringify(text);
  }
}

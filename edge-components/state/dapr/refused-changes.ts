/**
 * Where changes of state that the far side refused can be seen: parked messages of the node's store-and-forward queues, under
 * the name of the app and the component, with the reason, the keys and the values. They stay there until somebody drops them.
 */

import type { ComponentDeps } from '../../../runtime/contracts/component.ts';
import type { Spool } from '../../../runtime/contracts/spool.ts';
import type { QueuedChange } from './queued-change.ts';

export interface RefusedChanges {
  open(): Promise<void>;
  /** Resolves when it is on disk. */
  keep(change: QueuedChange, reason: string, conflict: boolean): Promise<void>;
  close(): Promise<void>;
}

const MAX_MESSAGES = 10_000;
const MAX_BYTES = 64 * 1024 * 1024;

export function createRefusedChanges(
  deps: Pick<ComponentDeps, 'appId' | 'componentName' | 'spools' | 'log' | 'metrics' | 'namespace'>,
): RefusedChanges {
  let spool: Spool | undefined;
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
      spool.drain(async ({ headers }) => ({ park: headers['reason'] ?? 'refused' }));
    },
    keep: async ({ id, at, operations }, reason, conflict) => {
      if (spool === undefined) throw new Error(`component ${deps.componentName} is closed`);
      const keys = operations.map(({ key }) => key).join(', ');
      const kind = conflict ? 'conflict' : 'refused';
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
        payload: Buffer.from(listOf(operations)),
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

/** Keys with the values that they were to get, as they came. */
function listOf(operations: QueuedChange['operations']): string {
  const items = operations.map(
    ({ key, value }) => `{"key":${JSON.stringify(key)},"value":${value ?? 'null'}}`,
  );
  return `[${items.join(',')}]`;
}

/**
 * State of a far sidecar that is kept here first: a change is answered once it is on this disk, and goes to the far side
 * behind, in order (`write-behind.ts`). Reads come from here; a key that is not here is asked for over there, and one that
 * was not looked at for a while is compared with the far side after it was read.
 *
 * ETags are those of this side. A change with an ETag is checked here at once, and over there when it arrives: when the far
 * value is no longer the one that the app saw, the change is refused, kept where people see it (`refused-changes.ts`), and
 * the far value takes its place.
 */

import type { ComponentDeps } from '../../../runtime/contracts/component.ts';
import { type Database, type SqlStep, StepRefused } from '../../../runtime/contracts/database.ts';
import {
  type BulkStateRecord,
  checkStateOptions,
  EtagError,
  type StateOperation,
  type StateRecord,
  type StateStore,
} from '../../../runtime/contracts/state-store.ts';
import { createFarLink, type FarLink } from '../../drivers/dapr-api/far-link.ts';
import { type FarSidecar, isOutage } from '../../drivers/dapr-api/far-sidecar.ts';
import { cursorKey } from './far-cursor.ts';
import {
  adoptSteps,
  changeStep,
  type Demand,
  LOCAL_SQL,
  LOCAL_STATE_MIGRATION,
  queueStep,
} from './local-tables.ts';
import type { Condition, QueuedChange, QueuedOperation } from './queued-change.ts';
import { textOf } from './queued-change.ts';
import { createRefusedChanges } from './refused-changes.ts';
import { WriteBehind } from './write-behind.ts';

export interface LocalStateItems {
  readonly queueMaxMessages: number;
  readonly queueMaxBytes: number;
  /** A key that was compared longer ago is compared again when it is read, milliseconds; 0: never. */
  readonly refreshAfter: number;
  /** Where changes that the far side refused are told; empty: nowhere. */
  readonly conflictPubsub: string;
  readonly conflictTopic: string;
}

/** Dapr feature names; what expires over there would live on here. */
export const LOCAL_FEATURES: readonly string[] = ['ETAG', 'TRANSACTIONAL'];

interface Row {
  readonly value: string | null;
  readonly etag: string;
  readonly farEtag: string | null;
  readonly pending: number;
}

const MAX_COMPARING = 8;
const MAX_COMPARED = 10_000;
const TTL_ITEM = 'ttlInSeconds';

export function createLocalState(
  remote: StateStore,
  far: FarSidecar,
  items: LocalStateItems,
  deps: ComponentDeps,
): StateStore {
  const owner = `${deps.appId}/${deps.componentName}`;
  const refused = createRefusedChanges(items, deps);
  const depth = { messages: 0, bytes: 0 };
  /** When a key was compared with the far side. */
  const compared = new Map<string, number>();
  const comparing = new Set<string>();
  const fetches = new Set<{ readonly key: string; outdated: boolean }>();
  let opened:
    | { readonly database: Database; readonly link: FarLink; readonly behind: WriteBehind }
    | undefined;
  const parts = () => {
    if (opened === undefined) throw new Error(`component ${deps.componentName} is closed`);
    return opened;
  };
  const report = (): void => {
    const labels = { component: deps.componentName, namespace: deps.namespace };
    deps.metrics.gauge('state_pending_changes', labels, depth.messages);
  };
  const measure = (database: Database): void => {
    const row = database.read(LOCAL_SQL.depth, [owner])[0];
    depth.messages = Number(row?.['messages'] ?? 0);
    depth.bytes = Number(row?.['bytes'] ?? 0);
    report();
  };

  const rowOf = (key: string): Row | undefined => {
    const row = parts().database.read(LOCAL_SQL.row, [owner, key])[0];
    if (row === undefined) return undefined;
    return {
      value: row['value'] === null ? null : String(row['value']),
      etag: String(row['etag']),
      farEtag: row['far_etag'] === null ? null : String(row['far_etag']),
      pending: Number(row['pending']),
    };
  };
  const recordOf = ({ value, etag }: Row): StateRecord | undefined =>
    value === null ? undefined : { value: Buffer.from(value), etag };

  const note = (key: string): void => {
    compared.delete(key);
    compared.set(key, deps.clock.monotonicMs());
    if (compared.size <= MAX_COMPARED) return;
    const oldest = compared.keys().next().value;
    if (oldest !== undefined) compared.delete(oldest);
  };
  /** What the far side says, taken over unless a change is on its way there. */
  const adopt = async (
    key: string,
    record: StateRecord | undefined,
    known: Row | undefined,
  ): Promise<void> => {
    note(key);
    const value = textOf(record);
    if (value === null && known === undefined) return;
    if (known !== undefined && known.value === value && known.farEtag === (record?.etag ?? null)) return;
    const there = value === null ? undefined : { value, etag: record?.etag };
    await parts().database.write(adoptSteps(owner, key, there, deps.ids.uuidv7()));
  };
  const fetch = async (key: string, signal: AbortSignal): Promise<void> => {
    const fetching = { key, outdated: false };
    fetches.add(fetching);
    try {
      const record = await parts().link.run(signal, (signal) =>
        remote.get({ key, consistency: '', metadata: {} }, signal),
      );
      // A change of this side that came meanwhile may be over there or not in what was read.
      if (!fetching.outdated) await adopt(key, record, rowOf(key));
    } finally {
      fetches.delete(fetching);
    }
  };
  const compareSoon = (key: string, row: Row): void => {
    if (items.refreshAfter === 0 || row.pending > 0 || comparing.has(key)) return;
    const last = compared.get(key);
    if (last !== undefined && deps.clock.monotonicMs() - last < items.refreshAfter) return;
    if (comparing.size >= MAX_COMPARING) return;
    comparing.add(key);
    // One that fails is not tried with every read either.
    note(key);
    void fetch(key, AbortSignal.timeout(items.refreshAfter))
      .catch(() => undefined)
      .finally(() => comparing.delete(key));
  };

  const get: StateStore['get'] = async ({ key }, signal) => {
    const row = rowOf(key);
    if (row !== undefined) {
      compareSoon(key, row);
      return recordOf(row);
    }
    await fetch(key, signal);
    const found = rowOf(key);
    return found === undefined ? undefined : recordOf(found);
  };

  /** What must hold here and over there for a change; reads what is not known where there is a link. */
  const conditionsOf = async (
    { key, kind, etag = '', options }: StateOperation,
    signal: AbortSignal,
  ): Promise<{ readonly demand: Demand; readonly condition?: Condition }> => {
    if (etag !== '') {
      const row = rowOf(key);
      const demand = { etag };
      if (row === undefined || row.etag !== etag) return { demand };
      const fresh = row.pending <= 0 && row.farEtag !== null;
      return { demand, condition: fresh ? { etag: row.farEtag } : { base: row.value } };
    }
    if (options.concurrency !== 'first-write' || kind === 'delete') return { demand: 'nothing' };
    if (rowOf(key) === undefined) {
      await fetch(key, signal).catch((error: unknown) => {
        if (!isOutage(error)) throw error;
      });
    }
    return { demand: 'absent', condition: { absent: true } };
  };

  const outdate = ({ operations }: QueuedChange): void => {
    for (const fetching of fetches) fetching.outdated ||= operations.some(({ key }) => key === fetching.key);
  };
  /** Writes the changes of values and their place in the queue, all or nothing. */
  const enqueue = async (steps: readonly SqlStep[], entry: QueuedChange): Promise<void> => {
    const { database, behind } = parts();
    const text = JSON.stringify(entry);
    if (depth.messages >= items.queueMaxMessages || depth.bytes + text.length > items.queueMaxBytes) {
      throw new Error(
        `the queue of changes of ${deps.componentName} is full: the far side was away for too long`,
      );
    }
    depth.messages += 1;
    depth.bytes += text.length;
    outdate(entry);
    try {
      await database.write([...steps, queueStep(owner, text)]);
    } catch (error) {
      measure(database);
      if (error instanceof StepRefused) throw new EtagError('mismatch');
      throw error;
    }
    outdate(entry);
    report();
    behind.wake();
  };

  const change = async (
    operations: readonly StateOperation[],
    metadata: Readonly<Record<string, string>>,
    whole: boolean,
    signal: AbortSignal,
  ): Promise<void> => {
    const steps: SqlStep[] = [];
    const queued: QueuedOperation[] = [];
    for (const operation of operations) {
      const value = checked(operation);
      const { demand, condition } = await conditionsOf(operation, signal);
      steps.push(changeStep(owner, operation.key, value, deps.ids.uuidv7(), demand));
      queued.push({
        key: operation.key,
        value,
        consistency: operation.options.consistency,
        metadata: operation.metadata,
        ...(condition === undefined ? {} : { condition }),
      });
    }
    const entry: QueuedChange = {
      id: deps.ids.uuidv7(),
      at: deps.clock.now(),
      operations: queued,
      whole,
      metadata,
    };
    await enqueue(steps, entry);
  };

  return {
    features: LOCAL_FEATURES,
    init: async (signal) => {
      await remote.init(signal);
      await refused.open();
      const database = await deps.databases.system([LOCAL_STATE_MIGRATION]);
      const link = createFarLink(far, deps, () => {
        compared.clear();
        behind.linkBack();
      });
      const behind = new WriteBehind({
        remote,
        link,
        owner,
        cursor: cursorKey(await deps.nodeKey(), owner),
        database,
        deps,
        refuse: refused.keep,
        settled: () => measure(database),
      });
      opened = { database, link, behind };
      measure(database);
      behind.wake();
    },
    close: async () => {
      const open = opened;
      opened = undefined;
      open?.link.close();
      await open?.behind.close();
      await remote.close();
      await refused.close();
      await open?.database.close();
    },
    get,
    bulkGet: async (keys, _metadata, signal): Promise<readonly BulkStateRecord[]> =>
      await Promise.all(
        keys.map(async (key) => {
          try {
            const record = await get({ key, consistency: '', metadata: {} }, signal);
            return record === undefined ? { key } : { key, record };
          } catch (error) {
            return { key, error: (error as Error).message };
          }
        }),
      ),
    set: (request, signal) => change([request], {}, false, signal),
    delete: (request, signal) => change([request], {}, false, signal),
    transact: (operations, metadata, signal) => change(operations, metadata, true, signal),
  };
}

/** The JSON text of a change, null for a delete; refuses what the far side could never take. */
function checked(operation: StateOperation): string | null {
  checkStateOptions(operation.options);
  if (operation.metadata[TTL_ITEM] !== undefined) {
    throw new Error(
      `'${TTL_ITEM}' is not offered with mode local-first: what expires over there would live on here`,
    );
  }
  if (operation.kind === 'delete') return null;
  const text = Buffer.from(operation.value.bytes).toString('utf8');
  try {
    JSON.parse(text);
  } catch {
    throw new Error('expected a value that is JSON: the far sidecar is reached over HTTP');
  }
  return text;
}

/** A state flow for tests: a real `state.sqlite` here, and over there a store in memory with whatever goes wrong on a link. */

import { join } from 'node:path';
import { StateInMemory } from '../../edge-components/state/in-memory/state-in-memory.ts';
import { definition } from '../../edge-components/state/sqlite/component.ts';
import type { SyncDeps } from '../../runtime/building-blocks/sync/deps.ts';
import { createSync, type Sync } from '../../runtime/building-blocks/sync/sync.ts';
import { createComponentStore } from '../../runtime/components/store.ts';
import type { LoadedComponent } from '../../runtime/contracts/component-source.ts';
import { decodeMetadata } from '../../runtime/contracts/metadata.ts';
import type { PublishMessage } from '../../runtime/contracts/pubsub.ts';
import type { Random } from '../../runtime/contracts/random.ts';
import type { StateFlowSpec } from '../../runtime/contracts/resource.ts';
import { EtagError, type StateOperation, type StateStore } from '../../runtime/contracts/state-store.ts';
import { systemClock } from '../../runtime/platform/system-clock.ts';
import { systemIds } from '../../runtime/platform/system-ids.ts';
import { componentDeps } from './component-deps.ts';
import { openPool } from './open-pool.ts';
import { recordingLogger } from './recording-logger.ts';
import { seededRandom } from './seeded-random.ts';

const signal = new AbortController().signal;
const NO_OPTIONS = { concurrency: '', consistency: '' };
const clock = systemClock();

const FLOW: StateFlowSpec = {
  kind: 'state',
  name: 'flow',
  field: 'spec.state.0',
  direction: 'up',
  priority: 4,
  ttlMs: 0,
  filter: '',
  maxRate: 0,
  maxBytesPerHour: 0,
  quietHours: [],
  local: 'near',
  remote: 'far',
  keys: [{ local: 'k', remote: 'k' }],
  prefixes: [],
  conflict: 'last-write',
  pollMs: 100,
  journal: '',
};

class LinkDownError extends Error {
  override readonly name = 'LinkDownError';
}

/** The far store, with what may go wrong on the way to it. */
export class FarStore extends StateInMemory {
  /** Transactions that were applied. */
  applied = 0;
  down = false;
  /** Answers that get lost after the transaction was applied. */
  lose = 0;
  refuse: (operations: readonly StateOperation[]) => string | undefined = () => undefined;
  before: () => Promise<void> = async () => undefined;

  override async bulkGet(keys: readonly string[]) {
    if (this.down) throw new LinkDownError('nobody there');
    return super.bulkGet(keys);
  }

  override async transact(operations: readonly StateOperation[]): Promise<void> {
    if (this.down) throw new LinkDownError('nobody there');
    const refusal = this.refuse(operations);
    if (refusal !== undefined) throw new Error(refusal);
    await this.before();
    await super.transact(operations);
    this.applied += 1;
    if (this.lose === 0) return;
    this.lose -= 1;
    throw new LinkDownError('the answer is lost');
  }
}

/** The node's side, as its app sees it. */
export interface Edge {
  readonly sync: Sync;
  readonly published: PublishMessage[];
  readonly counted: Map<string, number>;
  put(key: string, value: unknown, metadata?: Readonly<Record<string, string>>): Promise<void>;
  remove(key: string): Promise<void>;
  get(key: string): Promise<unknown>;
  /** Writes what `change` makes of the value, only onto that value. */
  change(key: string, change: (old: unknown) => unknown): Promise<void>;
  close(): Promise<void>;
}

const loaded = (name: string, type: string, instance: StateStore): LoadedComponent<'state'> => ({
  name,
  category: 'state',
  type,
  version: 'v1',
  metadata: {},
  capabilities: instance.features,
  instance,
});

const upsert = (key: string, value: unknown, metadata: Readonly<Record<string, string>> = {}) =>
  ({
    kind: 'upsert',
    key,
    value: { bytes: Buffer.from(JSON.stringify(value)), json: true },
    options: NO_OPTIONS,
    metadata,
  }) as const;

/** A node with one flow, and `more` of them. */
export async function edge(
  directory: string,
  far: StateStore,
  given: Partial<StateFlowSpec>,
  more: readonly Partial<StateFlowSpec>[] = [],
  random: Random = seededRandom(1),
): Promise<Edge> {
  const databases = openPool(directory, { clock });
  const decoded = decodeMetadata(definition.metadata, { connectionString: join(directory, 'state.db') });
  if (!decoded.ok) throw new Error(decoded.faults.join('; '));
  const near: StateStore = definition.create(
    decoded.value,
    componentDeps({ clock, databases, ids: systemIds(clock) }),
  );
  await near.init(signal);
  const components = createComponentStore();
  components.add(loaded('near', 'state.sqlite', near));
  components.add(loaded('far', 'state.in-memory', far));
  const published: PublishMessage[] = [];
  const counted = new Map<string, number>();
  const deps: SyncDeps = {
    appId: 'app',
    namespace: '',
    components,
    publish: {
      publishRaw: async (_pubsub, message) => void published.push(message),
      scopesOf: () => {
        throw new Error('no topics here');
      },
    },
    sourceOf: () => Promise.reject(new Error('no topics here')),
    nodeKey: async () => Buffer.from(directory),
    databases,
    spools: { open: () => Promise.reject(new Error('no queues here')), list: async () => [] },
    clock,
    ids: systemIds(clock),
    random,
    log: recordingLogger(),
    metrics: {
      count: (name, _labels, amount = 1) => void counted.set(name, (counted.get(name) ?? 0) + amount),
      observe: () => undefined,
      gauge: () => undefined,
    },
  };
  const sync = await createSync(
    [
      {
        kind: 'Sync',
        name: 's',
        namespace: '',
        scopes: [],
        origin: { file: 'f', document: 1 },
        flows: [given, ...more].map((flow) => ({ ...FLOW, ...flow })),
        conflictTopic: { pubsub: 'p', topic: 'conflicts' },
      },
    ],
    deps,
  );
  await sync.start();
  return {
    sync,
    published,
    counted,
    put: (key, value, metadata) => near.set(upsert(`app||${key}`, value, metadata), signal),
    remove: (key) =>
      near.delete({ kind: 'delete', key: `app||${key}`, options: NO_OPTIONS, metadata: {} }, signal),
    get: (key) => valueIn(near, `app||${key}`),
    change: (key, change) => changeIn(near, `app||${key}`, change),
    close: async () => {
      await sync.close();
      await near.close();
      await databases.close();
    },
  };
}

async function valueIn(store: StateStore, key: string): Promise<unknown> {
  const record = await store.get({ key, consistency: '', metadata: {} }, signal);
  return record === undefined ? undefined : JSON.parse(Buffer.from(record.value).toString());
}

/** An empty far store. */
export const farStore = (): FarStore => new FarStore({ clock, ids: systemIds(clock) });
/** What the cloud app reads. */
export const inCloud = (far: StateStore, key: string): Promise<unknown> => valueIn(far, `app||${key}`);
/** What the cloud app writes. */
export const cloudWrites = (far: StateStore, key: string, value: unknown): Promise<void> =>
  far.set(upsert(`app||${key}`, value), signal);

/** Writes what `change` makes of the value (`undefined` deletes), only onto that value; `change` may be asked again. */
export async function changeIn(
  store: StateStore,
  key: string,
  change: (old: unknown) => unknown,
): Promise<void> {
  const record = await store.get({ key, consistency: '', metadata: {} }, signal);
  const value = change(record === undefined ? undefined : JSON.parse(Buffer.from(record.value).toString()));
  const only = {
    options: { concurrency: 'first-write', consistency: '' },
    ...(record?.etag === undefined ? {} : { etag: record.etag }),
  };
  try {
    if (value !== undefined) await store.set({ ...upsert(key, value), ...only }, signal);
    else if (record !== undefined) await store.delete({ kind: 'delete', key, metadata: {}, ...only }, signal);
  } catch (error) {
    if (!(error instanceof EtagError)) throw error;
    await changeIn(store, key, change);
  }
}

/** `state.dapr` in mode local-first on a far sidecar whose state API checks ETags and fails when a test wants. */

import { setTimeout as pause } from 'node:timers/promises';
import type { Test } from 'tap';
import { createFarSidecar } from '../../../../edge-components/drivers/dapr-api/far-sidecar.ts';
import { createSpoolSource } from '../../../../edge-components/drivers/sqlite/spool-source.ts';
import { createLocalState } from '../../../../edge-components/state/dapr/local-state.ts';
import { createRemoteState } from '../../../../edge-components/state/dapr/remote-state.ts';
import type { ComponentDeps, RuntimeEvent } from '../../../../runtime/contracts/component.ts';
import type { StateOperation, StateStore } from '../../../../runtime/contracts/state-store.ts';
import { componentDeps } from '../../../support/component-deps.ts';
import { fakeClock } from '../../../support/fake-clock.ts';
import { httpTarget, type TargetAnswer, type TargetRequest } from '../../../support/http-target.ts';
import { openPool } from '../../../support/open-pool.ts';

const signal = new AbortController().signal;

interface FarItem {
  value: unknown;
  version: number;
}

/** A far sidecar with a state API that checks ETags; `mood` makes it fail. */
function farStore() {
  const all = new Map<string, FarItem>();
  const values = {
    get size() {
      return [...all.keys()].filter((key) => !key.startsWith('skerry-cursor-')).length;
    },
    has: (key: string) => all.has(key),
    get: (key: string) => all.get(key),
    set: (key: string, item: FarItem) => all.set(key, item),
    delete: (key: string) => all.delete(key),
  };
  const requests: string[] = [];
  let mood: 'up' | 'cut' | 'lost answer' | 'late' = 'up';
  let late: (() => TargetAnswer) | undefined;
  let refused = '';
  let version = 0;
  interface Item {
    readonly key: string;
    readonly value?: unknown;
    readonly etag?: string;
    readonly options?: { readonly concurrency?: string };
  }
  const put = (key: string, value: unknown): void => {
    version += 1;
    values.set(key, { value, version });
  };
  const fits = ({ key, etag, options }: Item): boolean => {
    const there = values.get(key);
    if (etag !== undefined) return String(there?.version) === etag;
    return options?.concurrency !== 'first-write' || there === undefined;
  };
  const mismatch = {
    status: 409,
    body: '{"errorCode":"ERR_STATE_SAVE","message":"possible etag mismatch. error from state store"}',
  };
  const write = (
    operations: readonly { readonly operation: string; readonly request: Item }[],
  ): TargetAnswer => {
    if (operations.some(({ request }) => request.key === refused))
      return { status: 400, body: '{"errorCode":"ERR_MALFORMED_REQUEST","message":"no"}' };
    if (!operations.every(({ request }) => fits(request))) return mismatch;
    for (const { operation, request } of operations) {
      if (operation === 'delete') values.delete(request.key);
      else put(request.key, request.value);
    }
    return { status: 204 };
  };
  const answer = (request: TargetRequest): TargetAnswer => {
    const [path = ''] = request.url.split('?');
    if (mood === 'cut') return 'cut';
    if (path.includes('healthz')) return { status: 204 };
    requests.push(`${request.method} ${path.replace('/v1.0/state/far', '')}`);
    const key = decodeURIComponent(path.split('/')[4] ?? '');
    if (request.method === 'GET') {
      const there = values.get(key);
      if (there === undefined) return { status: 204 };
      return { headers: { etag: String(there.version) }, body: JSON.stringify(there.value) };
    }
    if (mood === 'late') {
      mood = 'cut';
      late = () => change(request, key);
      return 'cut';
    }
    const given = change(request, key);
    if (mood !== 'lost answer') return given;
    mood = 'up';
    return 'cut';
  };
  const change = (request: TargetRequest, key: string): TargetAnswer => {
    const body = request.body === '' ? undefined : JSON.parse(request.body);
    const etag = request.headers['if-match'];
    return request.method === 'DELETE'
      ? write([{ operation: 'delete', request: { key, ...(typeof etag === 'string' ? { etag } : {}) } }])
      : write(
          key === 'transaction'
            ? body.operations
            : body.map((item: Item) => ({ operation: 'upsert', request: item })),
        );
  };
  return {
    values,
    requests,
    answer,
    put,
    value: (key: string): unknown => values.get(key)?.value,
    set: (next: typeof mood): void => {
      mood = next;
    },
    /** Whether a request is on its way while the link is gone. */
    onItsWay: (): boolean => late !== undefined,
    /** The request that was on its way when the link went arrives now. */
    arriveLate: (): TargetAnswer | undefined => late?.(),
    refuse: (key: string): void => {
      refused = key;
    },
  };
}

export async function openLocal(t: Test, conflicts = { conflictPubsub: '', conflictTopic: '' }) {
  const far = farStore();
  const target = await httpTarget((request) => far.answer(request));
  const clock = fakeClock();
  const databases = openPool(t.testdir(), { clock });
  const given = componentDeps({ databases, clock });
  const spools = createSpoolSource({ ...given, databases });
  const counted: string[] = [];
  const metrics = {
    ...given.metrics,
    count: (name: string, labels: object) => void counted.push(`${name} ${JSON.stringify(labels)}`),
  };
  const told: RuntimeEvent[] = [];
  const hearing = { broken: false };
  const tell: ComponentDeps['tell'] = async (event) => {
    if (hearing.broken) throw new Error('nobody takes it');
    told.push(event);
  };
  const deps: ComponentDeps = { ...given, spools, metrics, tell };
  const items = {
    endpointName: '',
    baseUrl: target.url,
    remoteName: 'far',
    timeout: 2000,
    remoteKeyPrefix: '',
  };
  const limits = { queueMaxMessages: 50, queueMaxBytes: 100_000, refreshAfter: 30_000, ...conflicts };
  const make = async (): Promise<StateStore> => {
    const sidecar = createFarSidecar(items, deps);
    const store = createLocalState(createRemoteState(items, deps, sidecar), sidecar, limits, deps);
    await store.init(signal);
    return store;
  };
  let store = await make();
  t.teardown(async () => {
    await store.close();
    await spools.close();
    await databases.close();
    await target.close();
  });
  const until = async (what: string, done: () => boolean | Promise<boolean>): Promise<void> => {
    for (let turn = 0; turn < 1500; turn += 1) {
      if (await done()) return;
      await clock.advance(50);
      await pause(2);
    }
    t.fail(`waited in vain for ${what}`);
  };
  const get = async (key: string) => {
    const record = await store.get({ key: `app||${key}`, consistency: '', metadata: {} }, signal);
    return (
      record && { value: JSON.parse(Buffer.from(record.value).toString()) as unknown, etag: record.etag }
    );
  };
  const operation = (key: string, value: unknown, more: object = {}): StateOperation =>
    ({
      kind: 'upsert',
      key: `app||${key}`,
      value: { bytes: Buffer.from(JSON.stringify(value)), json: true },
      options: { concurrency: '', consistency: '' },
      metadata: {},
      ...more,
    }) as StateOperation;
  const remove = (key: string, more: object = {}): StateOperation => ({
    kind: 'delete',
    key: `app||${key}`,
    options: { concurrency: '', consistency: '' },
    metadata: {},
    ...more,
  });
  const write = (one: StateOperation) =>
    one.kind === 'upsert' ? store.set(one, signal) : store.delete(one, signal);
  const parked = async () =>
    (await spools.desk?.list({ queue: 'app/test', state: 'parked', limit: 10 })) ?? [];
  return {
    far,
    clock,
    told,
    hearing,
    counted,
    get,
    operation,
    remove,
    write,
    until,
    parked,
    transact: (list: readonly StateOperation[]) =>
      store.transact?.(list, {}, signal) ?? Promise.reject(new Error()),
    restart: async () => {
      await store.close();
      store = await make();
    },
    spools,
  };
}

/**
 * State that another sidecar keeps (Dapr state API). ETags, first-write, TTL and transactions are decided over there, so
 * they are as honest as the far store's. The own key prefix (`<app id>||`) stays here, since Dapr refuses `||` in keys
 * and puts a prefix of its own before them; `remoteKeyPrefix` takes its place.
 *
 * Calls go over HTTP. Bytes of gRPC callers, which need not be JSON, go over gRPC where an address for it is given, and so
 * does what reads many values at once.
 */

import type { ComponentDeps } from '../../../runtime/contracts/component.ts';
import { parseExact } from '../../../runtime/contracts/exact-json.ts';
import {
  type BulkStateRecord,
  checkStateOptions,
  EtagError,
  type StateOperation,
  type StateRecord,
  type StateStore,
} from '../../../runtime/contracts/state-store.ts';
import type { ConnectionItems } from '../../drivers/dapr-api/connection-items.ts';
import {
  createFarSidecar,
  type FarSidecar,
  FarSidecarError,
  farJson,
  metadataQuery,
} from '../../drivers/dapr-api/far-sidecar.ts';
import type { StateCalls } from '../../drivers/dapr-stream/state-calls.ts';
import { jsonOf, ownKey, recordOf, transactionItem, writeItem } from './wire.ts';

export interface RemoteStateItems extends ConnectionItems {
  readonly remoteKeyPrefix: string;
  /** For values that are not JSON; absent or empty: they are refused. */
  readonly grpcAddress?: string;
}

export const FEATURES: readonly string[] = ['ETAG', 'TRANSACTIONAL', 'TTL'];

export function createRemoteState(
  items: RemoteStateItems,
  deps: ComponentDeps,
  far: FarSidecar = createFarSidecar(items, deps),
): StateStore {
  const path = (...more: readonly string[]): readonly string[] => ['v1.0', 'state', far.remoteName, ...more];
  const farKey = (key: string): string => items.remoteKeyPrefix + ownKey(key);

  let calls: StateCalls | undefined;
  /** The way of these operations: gRPC where it is there and needed. */
  const grpcFor = (operations: readonly StateOperation[]): StateCalls | undefined =>
    operations.some((one) => one.kind === 'upsert' && !one.value.json) ? calls : undefined;
  const atFar = <O extends StateOperation>(operation: O): O => ({ ...operation, key: farKey(operation.key) });

  const post = async (where: readonly string[], body: string, signal: AbortSignal): Promise<unknown> =>
    farJson(await far.call({ method: 'POST', path: where, body, signal }).catch(rethrowEtag), parseExact);

  const set: StateStore['set'] = async (request, signal) => {
    checkStateOptions(request.options);
    const way = grpcFor([request]);
    if (way !== undefined) return await way.save(atFar(request), signal).catch(rethrowEtag);
    await post(path(), `[${writeItem(request, farKey(request.key))}]`, signal);
  };

  const remove: StateStore['delete'] = async (request, signal) => {
    checkStateOptions(request.options);
    const query = metadataQuery(request.metadata);
    if (request.options.concurrency !== '') query.set('concurrency', request.options.concurrency);
    if (request.options.consistency !== '') query.set('consistency', request.options.consistency);
    const etag: Readonly<Record<string, string>> =
      request.etag === undefined ? {} : { 'if-match': request.etag };
    await far
      .call({ method: 'DELETE', path: path(farKey(request.key)), query, headers: etag, signal })
      .catch(rethrowEtag);
  };

  return {
    features: FEATURES,
    init: async () => {
      await far.open();
      const { grpcAddress = '', timeout } = items;
      if (grpcAddress === '' || far.relayed !== undefined) return;
      const { createStateCalls } = await import('../../drivers/dapr-stream/state-calls.ts');
      const { credentials, remoteName } = far;
      const options = { grpcAddress, credentials, storeName: remoteName, timeoutMs: timeout };
      calls = createStateCalls(options, deps.clock);
    },
    close: async () => {
      far.close();
      await calls?.close();
    },
    get: async ({ key, consistency, metadata }, signal): Promise<StateRecord | undefined> => {
      const query = metadataQuery(metadata);
      if (consistency !== '') query.set('consistency', consistency);
      const answer = await far.call({ method: 'GET', path: path(farKey(key)), query, signal });
      return answer.status === 204 ? undefined : recordOf(answer);
    },
    bulkGet: async (keys, metadata, signal): Promise<readonly BulkStateRecord[]> => {
      const own = new Map(keys.map((key) => [farKey(key), key]));
      if (calls !== undefined) {
        const found = await calls.bulkGet([...own.keys()], metadata, signal);
        return found.map((item) => ({ ...item, key: own.get(item.key) ?? item.key }));
      }
      const body = JSON.stringify({ keys: [...own.keys()], metadata });
      const found = await post(path('bulk'), body, signal);
      if (!Array.isArray(found)) return keys.map((key) => ({ key }));
      return found.map((item: { key: string; data?: unknown; etag?: string; error?: string }) => {
        const key = own.get(item.key) ?? item.key;
        if (item.error !== undefined && item.error !== '') return { key, error: item.error };
        if (item.data === undefined) return { key };
        const etag = item.etag === undefined ? {} : { etag: item.etag };
        return { key, record: { value: Buffer.from(JSON.stringify(item.data)), ...etag } };
      });
    },
    set,
    delete: remove,
    transact: async (operations, metadata, signal) => {
      for (const operation of operations) checkStateOptions(operation.options);
      const way = grpcFor(operations);
      if (way !== undefined)
        return await way.transact(operations.map(atFar), metadata, signal).catch(rethrowEtag);
      const list = operations.map((operation: StateOperation) =>
        transactionItem(operation, farKey(operation.key)),
      );
      const body = `{"operations":[${list.join(',')}],"metadata":${jsonOf(metadata)}}`;
      await post(path('transaction'), body, signal);
    },
  };
}

/** A conflict over there is a conflict here (409; in a transaction 500 with the same words). */
function rethrowEtag(error: unknown): never {
  if (error instanceof FarSidecarError) {
    if (error.status === 409 || error.message.includes('possible etag mismatch')) {
      throw new EtagError('mismatch', causeOf(error.message));
    }
    if (error.message.includes('invalid etag value')) throw new EtagError('invalid', causeOf(error.message));
  }
  throw error;
}

/** What stands after Dapr's own words, which `EtagError` puts before it again. */
function causeOf(message: string): string | undefined {
  const cause = message
    .split(/possible etag mismatch\. error from state store|invalid etag value/)
    .at(-1)
    ?.replace(/^: /, '');
  return cause === '' ? undefined : cause;
}

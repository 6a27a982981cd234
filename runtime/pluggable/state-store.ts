/**
 * A state store in another process (dapr.proto.components.v1.StateStore and its companions for transactions, their size
 * limit, and queries).
 */

import { goJson } from '../contracts/go-json.ts';
import type {
  DeleteStateRequest,
  SetStateRequest,
  StateOperation,
  StateOptions,
  StateRecord,
  StateStore,
} from '../contracts/state-store.ts';
import {
  StateOptions_StateConcurrency as Concurrency,
  StateOptions_StateConsistency as Consistency,
  QueriableStateStore,
  StateStore as Service,
  Sorting_Order,
  TransactionalStateStore,
  TransactionalStoreMultiMaxSize,
} from '../generated/dapr/proto/components/v1/state_pb.ts';
import { type ConnectionOptions, createConnection } from './connection.ts';
import { bulkDeleteError, remoteError, stateError, writeError } from './errors.ts';

const { init, features, get, set, delete: remove, bulkGet, bulkSet, bulkDelete, ping } = Service.method;
const { transact } = TransactionalStateStore.method;
const { query } = QueriableStateStore.method;
const { multiMaxSize } = TransactionalStoreMultiMaxSize.method;

const CONCURRENCY: Readonly<Record<string, Concurrency>> = {
  'first-write': Concurrency.CONCURRENCY_FIRST_WRITE,
  'last-write': Concurrency.CONCURRENCY_LAST_WRITE,
};
const CONSISTENCY: Readonly<Record<string, Consistency>> = {
  eventual: Consistency.CONSISTENCY_EVENTUAL,
  strong: Consistency.CONSISTENCY_STRONG,
};

/** `services`: what the socket serves. `properties`: metadata items of the component as they are written. */
export function pluggableStateStore(
  options: ConnectionOptions,
  properties: Readonly<Record<string, string>>,
  services: ReadonlySet<string>,
): StateStore {
  let known: readonly string[] = [];
  let maxOperations = 0;
  const connection = createConnection(options, async (caller, signal) => {
    await caller.call(init, { metadata: { properties } }, signal);
    known = (await caller.call(features, {}, signal)).features;
    if (!services.has(TransactionalStoreMultiMaxSize.typeName)) return;
    try {
      maxOperations = Number((await caller.call(multiMaxSize, {}, signal)).maxSize);
    } catch (error) {
      maxOperations = 0;
      const { message } = remoteError(error);
      options.log.error(`the store does not tell how many operations a transaction may have: ${message}`);
    }
  });

  const writeAll = async (requests: readonly StateOperation[], signal: AbortSignal): Promise<void> => {
    const sets = requests.filter((request) => request.kind === 'upsert').map(setMessage);
    const deletes = requests.filter((request) => request.kind === 'delete').map(deleteMessage);
    const parallelism = { parallelism: 0n };
    if (sets.length > 0) {
      await connection.call(bulkSet, { items: sets, options: parallelism }, signal).catch((error) => {
        throw writeError(error);
      });
    }
    if (deletes.length > 0) {
      await connection.call(bulkDelete, { items: deletes, options: parallelism }, signal).catch((error) => {
        throw bulkDeleteError(error);
      });
    }
  };

  return {
    get features() {
      return known;
    },
    get maxTransactionOperations() {
      return maxOperations;
    },
    init: (signal) => connection.init(signal).catch(failed(remoteError)),
    ping: async (signal) => void (await connection.call(ping, {}, signal).catch(failed(remoteError))),
    get: async ({ key, metadata, consistency }, signal) => {
      const request = { key, metadata, consistency: consistencyOf(consistency) };
      return record(await connection.call(get, request, signal).catch(failed(stateError)));
    },
    bulkGet: async (keys, metadata, signal, parallelism = 0) => {
      const items = keys.map((key) => ({ key, metadata }));
      const request = { items, options: { parallelism: BigInt(parallelism) } };
      const answer = await connection.call(bulkGet, request, signal).catch(failed(stateError));
      return answer.items.map((item) => {
        if (item.error !== '') return { key: item.key, error: item.error };
        const found = record(item);
        return found === undefined ? { key: item.key } : { key: item.key, record: found };
      });
    },
    set: async (request, signal) =>
      void (await connection.call(set, setMessage(request), signal).catch(failed(writeError))),
    delete: async (request, signal) =>
      void (await connection.call(remove, deleteMessage(request), signal).catch(failed(writeError))),
    bulkWrite: (requests, signal) =>
      writeAll(requests, signal).then(
        () => requests.map(() => undefined),
        (error: Error) => requests.map(() => error),
      ),
    transact: async (operations, metadata, signal) => {
      const request = {
        operations: operations.map((operation) =>
          operation.kind === 'upsert'
            ? { request: { case: 'set' as const, value: setMessage(operation) } }
            : { request: { case: 'delete' as const, value: deleteMessage(operation) } },
        ),
        metadata,
      };
      await connection.call(transact, request, signal).catch(failed(stateError));
    },
    query: async ({ filter, sort, page }, metadata, signal) => {
      const request = {
        query: {
          filter: Object.fromEntries(
            Object.entries(filter).map(([name, value]) => [name, { value: Buffer.from(goJson(value)) }]),
          ),
          sort: sort.map(({ key, order }) => ({
            key,
            order: order === 'DESC' ? Sorting_Order.DESC : Sorting_Order.ASC,
          })),
          pagination: { limit: BigInt(page.limit), token: page.token },
        },
        metadata,
      };
      const answer = await connection.call(query, request, signal).catch(failed(stateError));
      return {
        items: answer.items.map(({ key, data, etag, error }) => ({
          key,
          value: data,
          ...(etag === undefined ? {} : { etag: etag.value }),
          ...(error === '' ? {} : { error }),
        })),
        token: answer.token,
        metadata: answer.metadata,
      };
    },
    close: () => connection.close(),
  };
}

function failed(translate: (error: unknown) => Error): (error: unknown) => never {
  return (error) => {
    throw translate(error);
  };
}

/** The record of an answer; `undefined` when there is nothing in it, which is how a store says that it has none. */
function record(answer: {
  readonly data: Uint8Array;
  readonly etag?: { readonly value: string } | undefined;
  readonly metadata: { [name: string]: string };
}): StateRecord | undefined {
  const { data, etag, metadata } = answer;
  const more = Object.keys(metadata).length > 0;
  if (data.byteLength === 0 && etag === undefined && !more) return undefined;
  return {
    value: data,
    ...(etag === undefined ? {} : { etag: etag.value }),
    ...(more ? { metadata } : {}),
  };
}

function setMessage({ key, value, etag, metadata, options }: SetStateRequest) {
  return {
    key,
    value: value.bytes,
    metadata,
    options: optionsMessage(options),
    contentType: metadata['contentType'] ?? '',
    ...(etag === undefined ? {} : { etag: { value: etag } }),
  };
}

function deleteMessage({ key, etag, metadata, options }: DeleteStateRequest) {
  return {
    key,
    metadata,
    options: optionsMessage(options),
    ...(etag === undefined ? {} : { etag: { value: etag } }),
  };
}

function optionsMessage({ concurrency, consistency }: StateOptions) {
  return {
    concurrency: CONCURRENCY[concurrency] ?? Concurrency.CONCURRENCY_UNSPECIFIED,
    consistency: consistencyOf(consistency),
  };
}

function consistencyOf(word: string): Consistency {
  return CONSISTENCY[word] ?? Consistency.CONSISTENCY_UNSPECIFIED;
}

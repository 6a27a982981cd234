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

/** Dapr's limit for the question after the size of transactions. */
const MAX_SIZE_LIMIT_MS = 5000;

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
  let maxOperations: Promise<number> | undefined;
  const connection = createConnection(options, async (caller, signal) => {
    await caller.call(init, { metadata: { properties } }, signal);
    known = (await caller.call(features, {}, signal)).features;
    maxOperations = undefined;
  });

  /** Asked once of every process, when its first transaction comes. */
  const askMaxOperations = async (): Promise<number> => {
    try {
      const limit = AbortSignal.timeout(MAX_SIZE_LIMIT_MS);
      return Number((await connection.call(multiMaxSize, {}, limit)).maxSize);
    } catch (error) {
      const { message } = remoteError(error);
      options.log.error(`failed to get multi max size from state store ${options.componentName}: ${message}`);
      return 0;
    }
  };

  const write = async (request: StateOperation, signal: AbortSignal): Promise<void> => {
    await (request.kind === 'upsert'
      ? connection.call(set, setMessage(request), signal)
      : connection.call(remove, deleteMessage(request), signal)
    ).catch(failed(writeError));
  };
  /** One request goes by itself, as in daprd; more go together by kind. */
  const writeAll = async (requests: readonly StateOperation[], signal: AbortSignal): Promise<void> => {
    const [only] = requests;
    if (only !== undefined && requests.length === 1) return write(only, signal);
    const sets = requests.filter((request) => request.kind === 'upsert').map(setMessage);
    const deletes = requests.filter((request) => request.kind === 'delete').map(deleteMessage);
    if (sets.length > 0)
      await connection.call(bulkSet, { items: sets, options: {} }, signal).catch(failed(writeError));
    if (deletes.length > 0)
      await connection
        .call(bulkDelete, { items: deletes, options: {} }, signal)
        .catch(failed(bulkDeleteError));
  };

  return {
    get features() {
      return known;
    },
    get maxTransactionOperations() {
      if (!services.has(TransactionalStoreMultiMaxSize.typeName)) return 0;
      maxOperations ??= askMaxOperations();
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
    set: write,
    delete: write,
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

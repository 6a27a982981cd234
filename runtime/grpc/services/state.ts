/** State over gRPC (gRPC reference, section 2.2). Values are opaque bytes unless the item says `application/json`. */

import type { StateItem, StateKeyed, StateTransactionOperation } from '../../contracts/blocks.ts';
import { errorText, runtimeError } from '../../contracts/error.ts';
import { goJson } from '../../contracts/go-json.ts';
import { parseGoJson } from '../../contracts/go-json-fault.ts';
import type { StateOptions, StateValue } from '../../contracts/state-store.ts';
import type { StateItem as StateItemMessage } from '../../generated/dapr/proto/common/v1/common_pb.ts';
import {
  DeleteBulkStateRequestSchema,
  DeleteStateRequestSchema,
  ExecuteStateTransactionRequestSchema,
  GetBulkStateRequestSchema,
  GetBulkStateResponseSchema,
  GetStateRequestSchema,
  GetStateResponseSchema,
  QueryStateRequestSchema,
  QueryStateResponseSchema,
  SaveStateRequestSchema,
} from '../../generated/dapr/proto/runtime/v1/state_pb.ts';
import { command, type Operations, type ServiceDeps, unary } from './method.ts';

const CONCURRENCY = ['', 'first-write', 'last-write'];
const CONSISTENCY = ['', 'eventual', 'strong'];
const NO_OPTIONS: StateOptions = { concurrency: '', consistency: '' };
const NOTHING = new Uint8Array(0);

type StateKeys =
  | 'stateSave'
  | 'stateGet'
  | 'stateDelete'
  | 'stateBulkGet'
  | 'stateBulkDelete'
  | 'stateTransaction'
  | 'stateQuery';

/** The state operations. */
export function stateOperations({ blocks: { state } }: ServiceDeps): Operations<StateKeys> {
  return {
    stateGet: unary(GetStateRequestSchema, GetStateResponseSchema, async (request, call) => {
      const options = { consistency: CONSISTENCY[request.consistency] ?? '', metadata: request.metadata };
      const answer = await state.get(request.storeName, request.key, options, call);
      if (answer === undefined) return {};
      return { data: answer.value, etag: answer.etag ?? '', metadata: answer.metadata };
    }),
    stateBulkGet: unary(GetBulkStateRequestSchema, GetBulkStateResponseSchema, async (request, call) => {
      state.requireStore(request.storeName);
      if (request.keys.length === 0) return {};
      const options = { parallelism: request.parallelism, metadata: request.metadata };
      const answers = await state.bulkGet(request.storeName, request.keys, options, call);
      return {
        items: answers.map(({ key, value, etag, metadata, error }) => ({
          key,
          data: value ?? NOTHING,
          etag: etag ?? '',
          error: error ?? '',
          metadata: metadata ?? {},
        })),
      };
    }),
    stateSave: command(SaveStateRequestSchema, async (request, call) => {
      state.requireStore(request.storeName);
      if (request.states.length === 0) return;
      await state.save(request.storeName, request.states.map(savedItem), call);
    }),
    stateDelete: command(DeleteStateRequestSchema, (request, call) =>
      state.delete(request.storeName, keyed(request), call),
    ),
    stateBulkDelete: command(DeleteBulkStateRequestSchema, async (request, call) => {
      state.requireStore(request.storeName);
      await state.bulkDelete(request.storeName, request.states.map(keyed), call);
    }),
    stateTransaction: command(ExecuteStateTransactionRequestSchema, async (request, call) => {
      state.requireStore(request.storeName);
      const operations = request.operations.map(({ operationType, request: item }) =>
        transactional(operationType, item),
      );
      await state.transact(request.storeName, operations, request.metadata, call);
    }),
    stateQuery: unary(QueryStateRequestSchema, QueryStateResponseSchema, async (request, call) => {
      const body = Buffer.from(request.query, 'utf8');
      const { items, token, metadata } = await state.query(request.storeName, body, request.metadata, call);
      if (items.length === 0) return {};
      const results = items.map(({ key, value, etag, error }) => ({
        key,
        data: value,
        etag: etag ?? '',
        error: error ?? '',
      }));
      return { results, token, metadata };
    }),
  };
}

interface Keyed {
  readonly key: string;
  readonly etag?: { readonly value: string } | undefined;
  readonly options?: { readonly concurrency: number; readonly consistency: number } | undefined;
  readonly metadata: { [name: string]: string };
}

function keyed(item: Keyed): StateKeyed {
  return {
    key: item.key,
    options: optionsOf(item.options),
    metadata: item.metadata,
    ...(item.etag === undefined ? {} : { etag: item.etag.value }),
  };
}

function optionsOf(options: Keyed['options']): StateOptions {
  if (options === undefined) return NO_OPTIONS;
  return {
    concurrency: CONCURRENCY[options.concurrency] ?? '',
    consistency: CONSISTENCY[options.consistency] ?? '',
  };
}

function savedItem(item: StateItemMessage): StateItem {
  if (item.key === '') throw runtimeError('stateKeyEmpty');
  const json = item.metadata['contentType'] === 'application/json';
  const value: StateValue = { bytes: json ? canonicalJson(item.value) : item.value, json };
  return { ...keyed(item), value };
}

/** The caller's JSON as Dapr spells it; unparsable text is refused with code Unknown. */
function canonicalJson(bytes: Uint8Array): Uint8Array {
  let value: unknown;
  try {
    value = parseGoJson(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8'));
  } catch (cause) {
    throw runtimeError('unknown', { error: errorText(cause) }, { cause });
  }
  return Buffer.from(goJson(value));
}

function transactional(operationType: string, item: StateItemMessage | undefined): StateTransactionOperation {
  const at = item === undefined ? { key: '', options: NO_OPTIONS, metadata: {} } : keyed(item);
  switch (operationType) {
    case 'upsert':
      return { operation: 'upsert', item: { ...at, value: { bytes: item?.value ?? NOTHING, json: false } } };
    case 'delete':
      return { operation: 'delete', item: at };
    default:
      throw runtimeError('stateOperationNotSupported', { operation: operationType });
  }
}

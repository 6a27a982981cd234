/** State management: find the store, prefix the key, call the component under its policy, translate its failures. */

import type {
  BulkStateAnswer,
  StateAnswer,
  StateBlock,
  StateItem,
  StateKeyed,
  StringMap,
} from '../../contracts/blocks.ts';
import type { CallContext } from '../../contracts/call-context.ts';
import type { ComponentSource, LoadedComponent } from '../../contracts/component-source.ts';
import {
  ComponentVerdictError,
  errorText,
  type Fields,
  type RuntimeError,
  runtimeError,
} from '../../contracts/error.ts';
import type { ErrorKey } from '../../contracts/error-table.ts';
import { GrpcCode } from '../../contracts/grpc-code.ts';
import {
  type BulkStateRecord,
  type DeleteStateRequest,
  EtagError,
  type SetStateRequest,
  type StateOperation,
  type StateRecord,
} from '../../contracts/state-store.ts';
import { type ComponentCallDeps, callComponent } from '../component-call.ts';
import { type StateCipher, stateCipher } from './encryption.ts';
import { type KeyPrefixer, keyPrefixer } from './key-prefix.ts';
import { createQuery } from './query.ts';
import { createTransaction, type Outbox } from './transaction.ts';

export interface StateBlockDeps extends ComponentCallDeps {
  readonly appId: string;
  readonly components: ComponentSource;
  /** Publishes the events of stores with an outbox; absent where no outbox is wired. */
  readonly outbox?: Outbox;
}

/** A store with what the block keeps about it. */
export interface OpenStore {
  readonly component: LoadedComponent<'state'>;
  readonly keys: KeyPrefixer;
  readonly cipher: StateCipher | undefined;
}

/** Most keys of one bulk get that are read at the same time. */
const MAX_PARALLEL_READS = 64;

export function createStateBlock(deps: StateBlockDeps): StateBlock {
  const opened = new WeakMap<LoadedComponent, OpenStore>();

  const open = (store: string): OpenStore => openFor(store, { appID: deps.appId });

  /** `info` is the error metadata when there is no such store. */
  const openFor = (store: string, info: StringMap | null): OpenStore => {
    const component = deps.components.get('state', store);
    if (component === undefined) {
      const none = deps.components.list('state').length === 0;
      throw runtimeError(none ? 'stateStoresNotConfigured' : 'stateStoreNotFound', { store }, { info });
    }
    let found = opened.get(component);
    if (found === undefined) {
      found = {
        component,
        keys: keyPrefixer(component, deps.appId, deps.namespace),
        cipher: stateCipher(component),
      };
      opened.set(component, found);
    }
    return found;
  };

  const readOne = async (
    at: OpenStore,
    key: string,
    consistency: string,
    metadata: StringMap,
    operation: string,
    call: CallContext,
  ): Promise<StateRecord | undefined> => {
    const stored = at.keys.toStored(key);
    const record = await callComponent(deps, 'Statestore', at.component.name, operation, call, (signal) =>
      at.component.instance.get({ key: stored, consistency, metadata }, signal),
    );
    if (record === undefined || at.cipher === undefined) return record;
    return { ...record, value: at.cipher.decrypt(record.value) };
  };

  /** Writes under the policy; an etag failure is an answer of the store, never a reason to retry. */
  const write = async (
    at: OpenStore,
    operation: string,
    call: CallContext,
    run: (signal: AbortSignal) => Promise<void>,
  ): Promise<void> => {
    const refused = await callComponent(
      deps,
      'Statestore',
      at.component.name,
      operation,
      call,
      async (signal) => {
        try {
          await run(signal);
          return undefined;
        } catch (error) {
          if (error instanceof EtagError) return error;
          throw error;
        }
      },
    );
    if (refused !== undefined) throw refused;
  };

  const setRequest = (at: OpenStore, item: StateItem): SetStateRequest => ({
    kind: 'upsert',
    key: at.keys.toStored(item.key),
    options: item.options,
    metadata: item.metadata,
    value: sealed(at, item),
    ...(item.etag === undefined ? {} : { etag: item.etag }),
  });

  const writeSeveral = async (
    at: OpenStore,
    operation: string,
    requests: readonly StateOperation[],
    call: CallContext,
  ): Promise<readonly (Error | undefined)[]> => {
    const { instance } = at.component;
    let pending = requests.map((request, index) => ({ request, index }));
    const results: (Error | undefined)[] = requests.map(() => undefined);
    // Only what failed for another reason than its etag is tried again.
    await callComponent(deps, 'Statestore', at.component.name, operation, call, async (signal) => {
      const outcome =
        instance.bulkWrite === undefined
          ? await Promise.all(
              pending.map(({ request }) =>
                (request.kind === 'upsert'
                  ? instance.set(request, signal)
                  : instance.delete(request, signal)
                ).then(
                  () => undefined,
                  (error: Error) => error,
                ),
              ),
            )
          : await instance.bulkWrite(
              pending.map(({ request }) => request),
              signal,
            );
      outcome.forEach((error, i) => {
        const entry = pending[i];
        if (entry !== undefined) results[entry.index] = error;
      });
      pending = pending.filter(
        ({ index }) => results[index] !== undefined && !(results[index] instanceof EtagError),
      );
      const first = pending[0] === undefined ? undefined : results[pending[0].index];
      if (first !== undefined) throw first;
    }).catch((error: Error) => {
      // The policy may have refused or ended the attempt: what has no result of its own then was not written.
      for (const { index } of pending) results[index] ??= error;
    });
    return results;
  };

  /** Reads key by key, some at the same time; answers in the order of the request. */
  const readSeveral = async (
    at: OpenStore,
    keys: readonly string[],
    options: { readonly parallelism: number; readonly metadata: StringMap },
    call: CallContext,
  ): Promise<readonly BulkStateAnswer[]> => {
    const results: BulkStateAnswer[] = new Array(keys.length);
    const limit =
      options.parallelism > 0 ? Math.min(options.parallelism, MAX_PARALLEL_READS) : MAX_PARALLEL_READS;
    let next = 0;
    const reader = async (): Promise<void> => {
      for (let index = next++; index < keys.length; index = next++) {
        const key = keys[index] ?? '';
        results[index] = await readOne(at, key, '', options.metadata, 'bulk_get', call).then(
          (record) => (record === undefined ? { key } : { key, ...answer(record) }),
          (error) => ({ key, error: errorText(error) }),
        );
      }
    };
    await Promise.all(Array.from({ length: Math.min(limit, keys.length) }, reader));
    return results;
  };

  /** The store's own bulk read, in its order; like Dapr, a key asked twice leaves an empty entry at the end over HTTP. */
  const readAtOnce = async (
    at: OpenStore,
    stored: readonly string[],
    options: { readonly parallelism: number; readonly metadata: StringMap },
    call: CallContext,
  ): Promise<readonly BulkStateAnswer[]> => {
    const store = at.component.name;
    let records: readonly BulkStateRecord[];
    try {
      records = await callComponent(
        deps,
        'Statestore',
        store,
        'bulk_get',
        call,
        async (signal) =>
          (await at.component.instance.bulkGet?.(stored, options.metadata, signal, options.parallelism)) ??
          [],
      );
    } catch (error) {
      if (error instanceof ComponentVerdictError) throw verdictError(error, 'stateBulkGet', { store }, call);
      throw runtimeError('stateBulkGet', { store, error: errorText(error) }, { cause: error });
    }
    const answers = records.map((entry) => bulkAnswer(at, entry));
    if (call.protocol === 'http') while (answers.length < stored.length) answers.push({ key: '' });
    return answers;
  };

  return {
    requireStore: (store) => void open(store),
    get: async (store, key, options, call) => {
      const at = open(store);
      try {
        const record = await readOne(at, key, options.consistency, options.metadata, 'get', call);
        return record === undefined ? undefined : answer(record);
      } catch (error) {
        throw translate(error, 'stateGet', { key, store }, call);
      }
    },
    bulkGet: async (store, keys, options, call) => {
      const at = open(store);
      const stored = keys.map((key) => at.keys.toStored(key));
      if (at.component.instance.bulkGet === undefined) return readSeveral(at, keys, options, call);
      return readAtOnce(at, stored, options, call);
    },
    save: async (store, items, call) => {
      const at = open(store);
      const requests = items.map((item) => {
        if (item.key === '')
          throw runtimeError(call.protocol === 'grpc' ? 'stateKeyEmpty' : 'stateKeyRequired');
        return setRequest(at, item);
      });
      const [only] = requests;
      if (only === undefined) return;
      const key = items[0]?.key ?? '';
      if (requests.length === 1) {
        await write(at, 'set', call, (signal) => at.component.instance.set(only, signal)).catch((error) => {
          throw translate(error, 'stateSave', { key, store }, call);
        });
        return;
      }
      refuseSeveral(await writeSeveral(at, 'set', requests, call), 'stateSave', store, call);
    },
    delete: async (store, item, call) => {
      const at = open(store);
      const request = deleteRequest(at, item);
      await write(at, 'delete', call, (signal) => at.component.instance.delete(request, signal)).catch(
        (error) => {
          throw translate(error, 'stateDelete', { key: item.key, store }, call);
        },
      );
    },
    bulkDelete: async (store, items, call) => {
      const at = open(store);
      const requests = items.map((item) => deleteRequest(at, item));
      if (requests.length > 0)
        refuseSeveral(await writeSeveral(at, 'bulk_delete', requests, call), 'stateBulkDelete', store, call);
    },
    transact: createTransaction({ deps, open, setRequest, deleteRequest, write }),
    query: createQuery(deps, (store) => openFor(store, null)),
  };
}

export function sealed(at: OpenStore, item: StateItem): SetStateRequest['value'] {
  return at.cipher === undefined ? item.value : { bytes: at.cipher.encrypt(item.value.bytes), json: false };
}

function deleteRequest(at: OpenStore, item: StateKeyed): DeleteStateRequest {
  return {
    kind: 'delete',
    key: at.keys.toStored(item.key),
    options: item.options,
    metadata: item.metadata,
    ...(item.etag === undefined ? {} : { etag: item.etag }),
  };
}

function bulkAnswer(at: OpenStore, { key, record, error }: BulkStateRecord): BulkStateAnswer {
  const own = at.keys.fromStored(key);
  if (error !== undefined) return { key: own, error };
  if (record === undefined) return { key: own };
  try {
    const value = at.cipher === undefined ? record.value : at.cipher.decrypt(record.value);
    return { key: own, ...answer({ ...record, value }) };
  } catch (failure) {
    return { key: own, error: errorText(failure) };
  }
}

function answer(record: StateRecord): StateAnswer {
  return {
    value: record.value,
    metadata: record.metadata ?? {},
    ...(record.etag === undefined ? {} : { etag: record.etag }),
  };
}

/** Statuses of etag failures: 409/Aborted for a mismatch, 400/InvalidArgument for an etag that does not parse. */
function translate(
  error: unknown,
  key: ErrorKey,
  fields: { key: string; store: string; all?: string },
  call: CallContext,
): RuntimeError {
  if (error instanceof Error && error.name === 'RuntimeError') return error as RuntimeError;
  if (error instanceof ComponentVerdictError) return verdictError(error, key, fields, call);
  const options =
    error instanceof EtagError
      ? error.kind === 'mismatch'
        ? { httpStatus: 409, grpcCode: GrpcCode.Aborted }
        : { httpStatus: 400, grpcCode: GrpcCode.InvalidArgument }
      : {};
  return runtimeError(key, { ...fields, error: errorText(error) }, { ...options, cause: error });
}

/** Like Dapr: gRPC callers get the component's own error, HTTP callers the operation's with the status that it chose. */
function verdictError(
  error: ComponentVerdictError,
  key: ErrorKey,
  fields: Fields,
  { protocol }: CallContext,
): RuntimeError {
  if (protocol === 'grpc') return error.asRuntimeError();
  const { httpStatus } = error.verdict;
  return runtimeError(key, { ...fields, error: error.message }, { httpStatus, cause: error });
}

/**
 * All failures etag failures: 400 when one is invalid, else 409, and the texts of all (HTTP reference, section 6.1). Among
 * others the first etag failure decides the status, as in daprd, where it is found inside the joined error.
 */
function refuseSeveral(
  results: readonly (Error | undefined)[],
  key: ErrorKey,
  store: string,
  call: CallContext,
): void {
  const failures = results.filter((result) => result !== undefined);
  const [first] = failures;
  if (first === undefined) return;
  // One request, or refused as a whole: one failure, told once.
  if (results.length === 1 || (failures.length > 1 && failures.every((failure) => failure === first)))
    throw translate(first, key, { key: '', store }, call);
  const error = failures.map((failure) => failure.message).join('\n');
  const etagFailures = failures.filter((failure) => failure instanceof EtagError);
  const [deciding] = etagFailures;
  if (etagFailures.length < failures.length) {
    if (deciding === undefined) throw runtimeError(key, { store, error }, { cause: first });
    throw translate(deciding, key, { key: '', store, all: error }, call);
  }
  const invalid = etagFailures.find((failure) => failure.kind === 'invalid');
  const failure = new EtagError(invalid === undefined ? 'mismatch' : 'invalid', error);
  throw translate(failure, key, { key: '', store }, call);
}

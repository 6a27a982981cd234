/** State transactions: all or nothing, in order, with the outbox where the store has one (HTTP reference, 6.6 and 6.10). */

import type { StateBlock, StateItem, StateKeyed, StateTransactionOperation } from '../../contracts/blocks.ts';
import type { CallContext } from '../../contracts/call-context.ts';
import type { LoadedComponent } from '../../contracts/component-source.ts';
import { errorText, runtimeError } from '../../contracts/error.ts';
import type { DeleteStateRequest, SetStateRequest, StateOperation } from '../../contracts/state-store.ts';
import type { OpenStore, StateBlockDeps } from './state.ts';

/** The transactional outbox: announces what a transaction will write, before it is written. */
export interface Outbox {
  /** Whether this store publishes its transactions. */
  enabled(component: LoadedComponent<'state'>): boolean;
  /** Puts the events of `operations` on the internal topic; rejects with `outboxPublish` when that fails. */
  prepare(
    component: LoadedComponent<'state'>,
    operations: readonly StateTransactionOperation[],
    call: CallContext,
  ): Promise<AnnouncedTransaction>;
}

export interface AnnouncedTransaction {
  /** The operations to write: projections are gone. */
  readonly operations: readonly StateTransactionOperation[];
  /** Marker records to write with them, keys as stored. */
  readonly markers: readonly SetStateRequest[];
  /** Tells how the transaction ended: without an error it is written. */
  settled(error?: unknown): void;
}

interface TransactionParts {
  readonly deps: StateBlockDeps;
  readonly open: (store: string) => OpenStore;
  readonly setRequest: (at: OpenStore, item: StateItem) => SetStateRequest;
  readonly deleteRequest: (at: OpenStore, item: StateKeyed) => DeleteStateRequest;
  readonly write: (
    at: OpenStore,
    operation: string,
    call: CallContext,
    run: (signal: AbortSignal) => Promise<void>,
  ) => Promise<void>;
}

export function createTransaction(parts: TransactionParts): StateBlock['transact'] {
  /** What is wrong with the request, before anything is announced or written. */
  const check = (
    at: OpenStore,
    given: readonly StateTransactionOperation[],
    max: number,
    protocol: CallContext['protocol'],
  ): void => {
    const store = at.component.name;
    if (max > 0 && given.length > max) {
      const info = { currentOpsTransaction: String(given.length), maxOpsPerTransaction: String(max) };
      throw runtimeError('stateTooManyTransactions', { store, count: given.length, max }, { info });
    }
    for (const { item } of given) {
      if (item.key === '') throw runtimeError(protocol === 'grpc' ? 'stateKeyEmpty' : 'stateKeyRequired');
      at.keys.toStored(item.key);
    }
  };

  return async (store, given, metadata, call) => {
    const at = parts.open(store);
    const { component } = at;
    const { instance } = component;
    if (instance.transact === undefined || !instance.features.includes('TRANSACTIONAL')) {
      throw runtimeError('stateTransactionsNotSupported', { store }, { info: {} });
    }
    if (given.length === 0) return;
    check(at, given, (await instance.maxTransactionOperations) ?? 0, call.protocol);
    const { outbox } = parts.deps;
    const announced =
      outbox?.enabled(component) === true
        ? await outbox.prepare(component, given, call)
        : { operations: given, markers: [], settled: () => {} };
    try {
      const requests: StateOperation[] = announced.operations.map((operation) =>
        operation.operation === 'upsert'
          ? parts.setRequest(at, operation.item)
          : parts.deleteRequest(at, operation.item),
      );
      requests.push(...announced.markers);
      await parts.write(
        at,
        'transaction',
        call,
        (signal) => instance.transact?.(requests, metadata, signal) ?? Promise.resolve(),
      );
      announced.settled();
    } catch (error) {
      announced.settled(error);
      if (error instanceof Error && error.name === 'RuntimeError') throw error;
      throw runtimeError('stateTransaction', { store, error: errorText(error) }, { cause: error });
    }
  };
}

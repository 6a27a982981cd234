/**
 * Dapr's state API over gRPC at a far sidecar: for values that are not JSON, which its HTTP API does not carry (`SaveState`,
 * `ExecuteStateTransaction`, `GetBulkState`). Errors are those of the HTTP calls.
 */

import { create, type DescMessage, type MessageInitShape, type MessageShape } from '@bufbuild/protobuf';
import { EmptySchema } from '@bufbuild/protobuf/wkt';
import type { Clock } from '../../../runtime/contracts/clock.ts';
import { GrpcCode } from '../../../runtime/contracts/grpc-code.ts';
import { GrpcStatusError } from '../../../runtime/contracts/grpc-wire/status.ts';
import type { BulkStateRecord, StateOperation } from '../../../runtime/contracts/state-store.ts';
import {
  StateOptions_StateConcurrency as Concurrency,
  StateOptions_StateConsistency as Consistency,
  type StateItemSchema,
} from '../../../runtime/generated/dapr/proto/common/v1/common_pb.ts';
import {
  ExecuteStateTransactionRequestSchema,
  GetBulkStateRequestSchema,
  GetBulkStateResponseSchema,
  SaveStateRequestSchema,
} from '../../../runtime/generated/dapr/proto/runtime/v1/state_pb.ts';
import { callUnary } from '../../../runtime/grpc-client/client.ts';
import { codec } from '../../../runtime/grpc-client/codec.ts';
import { FarSidecarError, LinkDownError } from '../dapr-api/far-sidecar.ts';
import { createFarGrpcClient, type FarGrpcAddress, farMetadata } from './far-grpc.ts';

export interface StateCallsOptions extends FarGrpcAddress {
  readonly storeName: string;
  readonly timeoutMs: number;
}

type Metadata = Readonly<Record<string, string>>;

/** Keys are those of the far side. */
export interface StateCalls {
  save(request: StateOperation, signal: AbortSignal): Promise<void>;
  transact(operations: readonly StateOperation[], metadata: Metadata, signal: AbortSignal): Promise<void>;
  bulkGet(
    keys: readonly string[],
    metadata: Metadata,
    signal: AbortSignal,
  ): Promise<readonly BulkStateRecord[]>;
  close(): Promise<void>;
}

const PARALLELISM = 10;
const CONCURRENCY: Readonly<Record<string, Concurrency>> = {
  'first-write': Concurrency.CONCURRENCY_FIRST_WRITE,
  'last-write': Concurrency.CONCURRENCY_LAST_WRITE,
};
const CONSISTENCY: Readonly<Record<string, Consistency>> = {
  strong: Consistency.CONSISTENCY_STRONG,
  eventual: Consistency.CONSISTENCY_EVENTUAL,
};

export function createStateCalls(options: StateCallsOptions, clock: Clock): StateCalls {
  const { storeName, timeoutMs, grpcAddress, credentials } = options;
  const client = createFarGrpcClient(options, clock);
  const call = async <I extends DescMessage, O extends DescMessage>(
    name: string,
    input: I,
    output: O,
    message: MessageInitShape<I>,
    signal: AbortSignal,
  ): Promise<MessageShape<O>> => {
    const path = `/dapr.proto.runtime.v1.Dapr/${name}`;
    try {
      const method = { path, request: codec(input), response: codec(output) };
      const metadata = farMetadata(credentials);
      return (await callUnary(client, method, create(input, message), { metadata, signal, timeoutMs }))
        .message;
    } catch (error) {
      if (signal.aborted || !(error instanceof GrpcStatusError)) throw error;
      const isGone = error.code === GrpcCode.Unavailable || error.code === GrpcCode.DeadlineExceeded;
      if (!isGone) throw new FarSidecarError(500, '', error.message);
      // What did not answer in time may be dead without anybody knowing.
      client.reset();
      const why = `the sidecar at ${grpcAddress} cannot be reached: ${error.message}`;
      throw new LinkDownError(why, { cause: error });
    }
  };
  return {
    save: async (request, signal) => {
      const states = [itemOf(request)];
      await call('SaveState', SaveStateRequestSchema, EmptySchema, { storeName, states }, signal);
    },
    transact: async (operations, metadata, signal) => {
      const list = operations.map((one) => ({ operationType: one.kind, request: itemOf(one) }));
      const message = { storeName, operations: list, metadata: { ...metadata } };
      await call(
        'ExecuteStateTransaction',
        ExecuteStateTransactionRequestSchema,
        EmptySchema,
        message,
        signal,
      );
    },
    bulkGet: async (keys, metadata, signal) => {
      const message = { storeName, keys: [...keys], parallelism: PARALLELISM, metadata: { ...metadata } };
      const { items } = await call(
        'GetBulkState',
        GetBulkStateRequestSchema,
        GetBulkStateResponseSchema,
        message,
        signal,
      );
      return items.map(({ key, data, etag, error, metadata }) => {
        if (error !== '') return { key, error };
        if (data.length === 0 && etag === '') return { key };
        const more = Object.keys(metadata).length === 0 ? {} : { metadata };
        return { key, record: { value: data, ...(etag === '' ? {} : { etag }), ...more } };
      });
    },
    close: () => client.close(),
  };
}

function itemOf(operation: StateOperation): MessageInitShape<typeof StateItemSchema> {
  const { key, etag, metadata, options } = operation;
  return {
    key,
    value: operation.kind === 'upsert' ? operation.value.bytes : new Uint8Array(),
    ...(etag === undefined ? {} : { etag: { value: etag } }),
    metadata: { ...metadata },
    options: {
      concurrency: CONCURRENCY[options.concurrency] ?? Concurrency.CONCURRENCY_UNSPECIFIED,
      consistency: CONSISTENCY[options.consistency] ?? Consistency.CONSISTENCY_UNSPECIFIED,
    },
  };
}

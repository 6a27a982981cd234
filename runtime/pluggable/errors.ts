/**
 * Failures of pluggable components: gRPC statuses as Go prints them, because the texts end up in Dapr's answers, and
 * the details by which a component says more (an etag that does not match, an error of its own making).
 */

import { fromBinary, type MessageShape } from '@bufbuild/protobuf';
import { anyUnpack } from '@bufbuild/protobuf/wkt';
import { ComponentVerdictError } from '../contracts/error.ts';
import { GrpcCode } from '../contracts/grpc-code.ts';
import { GrpcStatusError } from '../contracts/grpc-wire/status.ts';
import { RemoteError } from '../contracts/remote-error.ts';
import { EtagError } from '../contracts/state-store.ts';
import { BadRequestSchema, ErrorInfoSchema } from '../generated/google/rpc/error_details_pb.ts';
import { StatusSchema } from '../generated/google/rpc/status_pb.ts';

/** What any component call may fail with. */
export function remoteError(error: unknown): Error {
  if (error instanceof GrpcStatusError) return new RemoteError(error.code, error.message, { cause: error });
  return error instanceof Error ? error : new Error(String(error));
}

/** The same for reads of a state store, which may carry an error of the component's own making. */
export function stateError(error: unknown): Error {
  const status = statusOf(error);
  const info = status === undefined ? undefined : onlyDetail(status, ErrorInfoSchema);
  if (status === undefined || info?.metadata['kit_error'] !== 'true') return remoteError(error);
  const httpStatus = info.metadata['http_code'] ?? '';
  if (!/^[1-9]\d{2}$/.test(httpStatus)) return remoteError(error);
  return new ComponentVerdictError({
    grpcCode: status.code,
    httpStatus: Number(httpStatus),
    description: status.message,
    tag: info.metadata['tag'] ?? '',
    reason: info.reason,
    domain: info.domain,
  });
}

/** The same for writes, which may also fail over an etag: one violation of the field `etag`. */
export function writeError(error: unknown): Error {
  const status = statusOf(error);
  if (status?.code === GrpcCode.FailedPrecondition || status?.code === GrpcCode.InvalidArgument) {
    const violations = onlyDetail(status, BadRequestSchema)?.fieldViolations ?? [];
    const [violation] = violations;
    if (violations.length === 1 && violation?.field === 'etag') {
      const kind = status.code === GrpcCode.InvalidArgument ? 'invalid' : 'mismatch';
      return new EtagError(kind, violation.description);
    }
  }
  return stateError(error);
}

/** The same for deletions of several records: a component may tell how many of them it met. */
export function bulkDeleteError(error: unknown): Error {
  const status = statusOf(error);
  const counts =
    status?.code === GrpcCode.Internal ? onlyDetail(status, ErrorInfoSchema)?.metadata : undefined;
  const { expected, affected } = counts ?? {};
  if (isCount(expected) && isCount(affected))
    return new Error(`delete affected only ${affected} rows, expected ${expected}`, { cause: error });
  return writeError(error);
}

function isCount(text: string | undefined): text is string {
  return text !== undefined && /^\d+$/.test(text);
}

function statusOf(error: unknown): GrpcStatusError | undefined {
  return error instanceof GrpcStatusError ? error : undefined;
}

/** The detail of a status that has exactly one, when it is of this kind. */
function onlyDetail<S extends typeof ErrorInfoSchema | typeof BadRequestSchema>(
  status: GrpcStatusError,
  schema: S,
): MessageShape<S> | undefined {
  if (status.details === undefined) return undefined;
  try {
    const { details } = fromBinary(StatusSchema, status.details);
    const [only] = details;
    return only === undefined || details.length > 1 ? undefined : anyUnpack(only, schema);
  } catch {
    // What cannot be read says nothing.
    return undefined;
  }
}

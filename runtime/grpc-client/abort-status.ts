/** What an aborted signal means as a gRPC status: its reason tells a passed deadline from a caller that went away. */

import { RuntimeError } from '../contracts/error.ts';
import { GrpcCode } from '../contracts/grpc-code.ts';
import { GrpcStatusError } from '../contracts/grpc-wire/status.ts';

export function deadlineExceeded(): GrpcStatusError {
  return new GrpcStatusError(GrpcCode.DeadlineExceeded, 'context deadline exceeded');
}

/** Status of the abort `reason` of a signal. */
export function abortStatus(reason: unknown): GrpcStatusError {
  if (reason instanceof GrpcStatusError) return reason;
  if (reason instanceof RuntimeError)
    return new GrpcStatusError(reason.grpcCode, reason.message, { cause: reason });
  if (reason instanceof Error && (reason.name === 'TimeoutError' || reason.name === 'PolicyTimeoutError')) {
    return deadlineExceeded();
  }
  return new GrpcStatusError(GrpcCode.Canceled, 'context canceled', { cause: reason });
}

/** A gRPC status that a component in another process answered with; its text is Go's, since it ends up in Dapr's answers. */

import type { CallContext } from './call-context.ts';
import { grpcCodeName, httpStatusOfGrpc } from './grpc-code.ts';
import type { StatusCarrier } from './resiliency.ts';

export class RemoteError extends Error {
  override readonly name = 'RemoteError';
  readonly grpcCode: number;
  constructor(grpcCode: number, description: string, options?: ErrorOptions) {
    super(`rpc error: code = ${grpcCodeName(grpcCode)} desc = ${description}`, options);
    this.grpcCode = grpcCode;
  }
}

/** The status that a retry policy compares with its list: HTTP callers have the HTTP list (Dapr: retry matching). */
export function remoteStatus(error: unknown, protocol: CallContext['protocol']): StatusCarrier | undefined {
  if (!(error instanceof RemoteError)) return undefined;
  const { grpcCode } = error;
  return protocol === 'http' ? { httpStatus: httpStatusOfGrpc(grpcCode) } : { grpcCode };
}

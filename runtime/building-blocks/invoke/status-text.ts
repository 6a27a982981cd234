/** Texts in which a gRPC status stands inside another message, as Go prints it. */

import { errorText } from '../../contracts/error.ts';
import { GrpcCode, grpcCodeName } from '../../contracts/grpc-code.ts';
import { PeerError, PeerUnavailableError } from '../../contracts/peer.ts';

/** `rpc error: code = Internal desc = ...` for statuses, the plain text for everything else. */
export function failureText(cause: unknown): string {
  if (cause instanceof PeerError) return rpcText(cause.grpcCode, cause.message);
  if (cause instanceof PeerUnavailableError) return rpcText(GrpcCode.Unavailable, cause.message);
  return errorText(cause);
}

export function rpcText(code: number, message: string): string {
  return `rpc error: code = ${grpcCodeName(code)} desc = ${message}`;
}

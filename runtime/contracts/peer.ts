/** What the runtime asks of another sidecar: Dapr's internal gRPC `ServiceInvocation`. */

import type { InvokeRequest, InvokeResponse } from './app-channel.ts';
import type { CallContext } from './call-context.ts';

/** The sidecar at `address` could not be reached, or refused the connection: the call may be repeated. */
export class PeerUnavailableError extends Error {
  override readonly name = 'PeerUnavailableError';
}

/** The sidecar at the far side answered with a gRPC error. */
export class PeerError extends Error {
  override readonly name = 'PeerError';
  readonly grpcCode: number;
  readonly details: readonly Uint8Array[];
  constructor(grpcCode: number, message: string, details: readonly Uint8Array[] = []) {
    super(message);
    this.grpcCode = grpcCode;
    this.details = details;
  }
}

export interface Peers {
  /**
   * Calls `appId` at `address` (`CallLocalStream`, falling back to `CallLocal`). Under mutual TLS the far side must be
   * that app of `namespace` (absent: `default`).
   */
  call(
    address: string,
    appId: string,
    request: InvokeRequest,
    call: CallContext,
    namespace?: string,
  ): Promise<InvokeResponse>;
  close(): Promise<void>;
}

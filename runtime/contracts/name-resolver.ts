/** Finds the sidecar of an app id. */

import type { ComponentInstance } from './component.ts';

export interface ResolveRequest {
  readonly appId: string;
  readonly namespace: string;
}

export interface Announcement {
  readonly appId: string;
  readonly namespace: string;
  /** Address other sidecars reach this one at. */
  readonly address: string;
  /** Internal gRPC port. */
  readonly internalPort: number;
  readonly httpPort: number;
}

export interface NameResolver extends ComponentInstance {
  /** Announces an app of this node until the result is closed. */
  register(announcement: Announcement): Promise<{ close(): Promise<void> }>;
  /** `host:port` of one instance (IPv6 in brackets); rejects with `couldn't find service: <id>`. */
  resolve(request: ResolveRequest, signal: AbortSignal): Promise<string>;
  /** Forgets a cached address that did not answer. */
  forget?(request: ResolveRequest, address: string): void;
}

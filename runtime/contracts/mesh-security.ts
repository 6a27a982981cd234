/** Mutual TLS between sidecars, as transports see it: credentials in force, and whom a connection must reach. */

import type { SpiffeId, Workload } from './spiffe.ts';

/** Everything in PEM. */
export interface Credentials {
  /** Own certificate first. */
  readonly cert: string;
  readonly key: string;
  /** The trust anchors. */
  readonly ca: string;
  readonly minVersion: 'TLSv1.3';
}

/** Options of one connection, in the names that `node:tls` has for them. */
export interface DialTls {
  readonly secureContext: { readonly context: unknown };
  readonly rejectUnauthorized: true;
  readonly minVersion: 'TLSv1.3';
  checkServerIdentity(host: string, certificate: { readonly raw: Uint8Array }): Error | undefined;
}

/** What a server needs to show its certificate and to demand the client's. */
export interface ServerTls {
  /** Certificate, key and trust anchors in force. */
  credentials(): Credentials;
  /** Calls `run` when they have changed; returns the end of that. */
  onChange(run: () => void): () => void;
}

/** The identity of one sidecar in a mesh. */
export interface MeshSecurity {
  /** As the certificate in force says. */
  readonly id: SpiffeId;
  readonly server: ServerTls;
  /** TLS of a new connection that must end at `callee`, whatever its trust domain. */
  dial(callee: Workload): DialTls;
  close(): Promise<void>;
}

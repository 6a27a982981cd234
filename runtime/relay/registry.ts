/**
 * What a relay must remember: which nodes it enrolled for which app ids, and which tokens were given out. Behind an
 * interface, since several relays will share it one day (docs/relay.md); today it is a table of the relay's own file.
 */

/** A node as it was enrolled. Times are wall clock. */
export interface EnrolledNode {
  readonly name: string;
  /** The app ids it may announce. */
  readonly appIds: readonly string[];
  /** SHA-256 of its public key. */
  readonly keyHash: string;
  readonly enrolledAt: number;
  readonly revokedAt?: number;
  /** When it was last heard of by an earlier link, and why that ended. */
  readonly lastContact?: number;
  readonly lastReason?: string;
}

/** A permission to enrol one node, once. */
export interface EnrolmentToken {
  /** SHA-256 of the secret: the file does not tell it. */
  readonly hash: string;
  readonly appIds: readonly string[];
  /** The name that the node must take; it may have it already. */
  readonly node?: string;
  readonly expiresAt: number;
}

export type Enrolment =
  | { readonly ok: true; readonly node: EnrolledNode }
  | { readonly ok: false; readonly reason: string };

export interface RelayRegistry {
  addToken(token: EnrolmentToken): Promise<void>;
  /** Uses up the token and enrols the node, or tells why not; both or nothing. */
  enrol(tokenHash: string, node: { readonly name: string; readonly keyHash: string }): Promise<Enrolment>;
  node(name: string): EnrolledNode | undefined;
  nodes(): readonly EnrolledNode[];
  /** False when there is no such node, or it is revoked already. */
  revoke(name: string): Promise<boolean>;
  /** Keeps what is known of a link that has ended. */
  linkEnded(name: string, lastContact: number, reason: string): Promise<void>;
}

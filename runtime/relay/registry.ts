/**
 * What a relay must remember: which nodes it enrolled for which app ids, and which tokens were given out. In a file of its own
 * where it is alone, in PostgreSQL where several share it (docs/relay.md).
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
  /** From now on, by the clock of the registry. */
  readonly ttlMs: number;
}

export type Enrolment =
  | { readonly ok: true; readonly node: EnrolledNode }
  | { readonly ok: false; readonly reason: string };

export interface RelayRegistry {
  addToken(token: EnrolmentToken): Promise<void>;
  /** Uses up the token and enrols the node, or tells why not; both or nothing. */
  enrol(tokenHash: string, node: { readonly name: string; readonly keyHash: string }): Promise<Enrolment>;
  node(name: string): Promise<EnrolledNode | undefined>;
  nodes(): Promise<readonly EnrolledNode[]>;
  /** False when there is no such node, or it is revoked already. */
  revoke(name: string): Promise<boolean>;
  /** Keeps what is known of a link that has ended. */
  linkEnded(name: string, lastContact: number, reason: string): Promise<void>;
}

/** A registry that cannot be reached: nothing was decided, nothing was changed. */
export class RegistryAway extends Error {
  override readonly name = 'RegistryAway';
}

/** Tokens are forgotten this long after they expired; until then a replay is told from a stranger's. */
export const FORGET_TOKENS_MS = 30 * 86_400_000;

/** Why a token does not enrol the node `wanted`; `undefined` when it does. */
export function tokenRefusal(
  token: { readonly used: boolean; readonly expired: boolean; readonly node: string | undefined } | undefined,
  wanted: string,
): string | undefined {
  if (token === undefined) return 'the token is not known here';
  if (token.used) return 'the token was used already';
  if (token.expired) return 'the token has expired';
  if (token.node !== undefined && token.node !== wanted) return `the token is for the node ${token.node}`;
  return undefined;
}

/** A name passes to another key only by a token for just this name. */
export function nameTaken(name: string): string {
  return `the name ${name} is taken: a token for it (--node ${name}) enrols it anew`;
}

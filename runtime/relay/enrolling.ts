/**
 * Tokens and certificates: a token is a secret of one use with an end, followed by the fingerprint of the relay's authority, so
 * that a node knows its relay before it shows the secret. What a node may announce is said by the token, never by the node.
 */

import { createHash, type KeyObject } from 'node:crypto';
import { z } from 'zod';
import type { Clock } from '../contracts/clock.ts';
import { errorText } from '../contracts/error.ts';
import type { Logger } from '../contracts/logger.ts';
import type { Random } from '../contracts/random.ts';
import { type Authority, keyHash } from '../security/authority.ts';
import { requestedKey } from '../security/csr.ts';
import { NODE_NAME, nodeUri } from './protocol.ts';
import { type EnrolledNode, type Enrolment, RegistryAway, type RelayRegistry } from './registry.ts';

export interface EnrollingOptions {
  readonly registry: RelayRegistry;
  readonly authority: Authority;
  readonly trustDomain: string;
  readonly certificateTtlMs: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

export interface TokenRequest {
  readonly appIds: readonly string[];
  readonly ttlMs: number;
  readonly node?: string | undefined;
}

export interface Enrolling {
  /** A new token as text. */
  token(request: TokenRequest): Promise<string>;
  /** What a stranger posts. */
  enrol(body: unknown): Promise<{ readonly status: number; readonly answer: object }>;
  /** A new certificate for the key of an enrolled node. Throws when the request is for another key. */
  renew(node: EnrolledNode, request: string): string;
}

const SECRET_BYTES = 24;
/** Clocks of small machines are late: certificates are dated back. */
const SKEW_MS = 3_600_000;
/** Refusals in ten seconds after which nobody is enrolled for a while: secrets are not for guessing. */
const MAX_REFUSALS = 100;
const REFUSALS_PER_MS = 10_000;

const body = z.object({
  token: z.string().min(1).max(512),
  node: z.string().regex(NODE_NAME),
  request: z.string().max(8192),
});

export function tokenHash(secret: string): string {
  return createHash('sha256').update(secret).digest('hex');
}

/** Enters a token and resolves with its text. */
export async function newToken(
  registry: Pick<RelayRegistry, 'addToken'>,
  random: Random,
  fingerprint: Uint8Array,
  { appIds, ttlMs, node }: TokenRequest,
): Promise<string> {
  const secret = Buffer.from(random.bytes(SECRET_BYTES)).toString('base64url');
  await registry.addToken({
    hash: tokenHash(secret),
    appIds,
    ttlMs,
    ...(node === undefined ? {} : { node }),
  });
  return `${secret}.${Buffer.from(fingerprint).toString('base64url')}`;
}

export function createEnrolling(options: EnrollingOptions): Enrolling {
  const { registry, authority, clock, random, log } = options;
  let refusals = 0;
  let refusalsSince = 0;

  const issue = (key: KeyObject, node: string): string => {
    const now = clock.now();
    return authority.issue(
      key,
      { commonName: node, uris: [nodeUri(options.trustDomain, node)], usage: 'client' },
      // Dated back by no more than its lifetime, so that its half is not over when it comes.
      {
        fromMs: now - Math.min(SKEW_MS, options.certificateTtlMs / 10),
        toMs: now + options.certificateTtlMs,
      },
    );
  };
  const refuse = (status: number, error: string, node?: string) => {
    if (clock.monotonicMs() - refusalsSince > REFUSALS_PER_MS) {
      refusals = 0;
      refusalsSince = clock.monotonicMs();
    }
    refusals += 1;
    if (refusals <= 10)
      log.warn('an enrolment was refused', { reason: error, ...(node === undefined ? {} : { node }) });
    return { status, answer: { error } };
  };
  const enrolled: (...args: Parameters<RelayRegistry['enrol']>) => Promise<Enrolment | undefined> = (
    hash,
    node,
  ) =>
    registry.enrol(hash, node).catch((cause: unknown) => {
      if (!(cause instanceof RegistryAway)) throw cause;
      return undefined;
    });
  const tooMany = (): boolean =>
    refusals > MAX_REFUSALS && clock.monotonicMs() - refusalsSince <= REFUSALS_PER_MS;

  return {
    token: (request) => newToken(registry, random, authority.fingerprint, request),

    async enrol(given) {
      if (tooMany())
        return { status: 429, answer: { error: 'too many refused enrolments: try again later' } };
      const parsed = body.safeParse(given);
      if (!parsed.success)
        return refuse(400, 'expected JSON with token, node (letters, digits, ".", "_", "-") and request');
      const { token, node, request } = parsed.data;
      let key: KeyObject;
      try {
        key = requestedKey(request);
      } catch (cause) {
        return refuse(400, errorText(cause), node);
      }
      const [secret = ''] = token.split('.');
      const outcome = await enrolled(tokenHash(secret), { name: node, keyHash: keyHash(key) });
      if (outcome === undefined)
        return {
          status: 503,
          answer: { error: 'the registry of the relay cannot be reached: try again later' },
        };
      if (!outcome.ok) return refuse(403, outcome.reason, node);
      log.info('a node was enrolled', { node, app_ids: outcome.node.appIds });
      return {
        status: 200,
        answer: {
          node,
          appIds: outcome.node.appIds,
          trustDomain: options.trustDomain,
          certificate: issue(key, node),
          authority: authority.certificates,
        },
      };
    },

    renew(node, request) {
      const key = requestedKey(request);
      if (keyHash(key) !== node.keyHash)
        throw new Error('the request is for another key than that of the node');
      return issue(key, node.name);
    },
  };
}

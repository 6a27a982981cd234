/**
 * Lets requests through that carry a JSON Web Token of the issuer for the audience (components reference, section 9).
 * Without usable keys nothing passes; keys once read stay in force while the issuer cannot be reached.
 */

import { createLocalJWKSet, errors, type JSONWebKeySet, jwtVerify } from 'jose';
import type { ComponentDeps } from '../../../runtime/contracts/component.ts';
import { errorText } from '../../../runtime/contracts/error.ts';
import type { HttpMiddleware, PipelineRequest } from '../../../runtime/contracts/http-middleware.ts';
import { createHttpClient, type HttpClient } from '../../drivers/http/request.ts';
import { textResponse } from '../../drivers/http/text-response.ts';
import { createRemoteJwks, type JwkSet, type RemoteJwks } from '../../drivers/keys/remote-jwks.ts';
import { discoverJwksUrl } from './discovery.ts';
import type { BearerMetadata } from './metadata.ts';

const CLOCK_SKEW_SECONDS = 300;
const MIN_REFRESH_MS = 600_000;
const REQUEST_TIMEOUT_MS = 10_000;
const START_WAIT_MS = 2000;
const MIN_TOKEN_CHARACTERS = 10;
/** Only signatures whose keys can be public; `none` and shared secrets are never accepted. */
const ALGORITHMS = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA'];

type KeyLookup = ReturnType<typeof createLocalJWKSet>;

export function createBearer(
  metadata: BearerMetadata,
  deps: Pick<ComponentDeps, 'clock' | 'log' | 'componentName'>,
): HttpMiddleware {
  const { clock, log } = deps;
  let client: HttpClient | undefined;
  let keys: RemoteJwks | undefined;
  const lookups = new WeakMap<JwkSet, KeyLookup>();
  const lookupOf = (set: JwkSet): KeyLookup => {
    let lookup = lookups.get(set);
    if (lookup === undefined) {
      lookup = createLocalJWKSet(set as unknown as JSONWebKeySet);
      lookups.set(set, lookup);
    }
    return lookup;
  };

  const verify = async (token: string, set: JwkSet): Promise<void> => {
    await jwtVerify(token, lookupOf(set), {
      issuer: metadata.issuer,
      audience: metadata.audience,
      clockTolerance: CLOCK_SKEW_SECONDS,
      currentDate: new globalThis.Date(clock.now()),
      algorithms: ALGORITHMS,
    });
  };

  /** A token of an unknown key may be of a new one: asked once more where the refresh bound allows it. */
  const accepts = async (token: string, set: JwkSet, source: RemoteJwks): Promise<boolean> => {
    try {
      await verify(token, set);
      return true;
    } catch (error) {
      if (!(error instanceof errors.JWKSNoMatchingKey)) return false;
      const newer = await source.newerThan(set);
      if (newer === undefined) return false;
      return await verify(token, newer).then(
        () => true,
        () => false,
      );
    }
  };

  return {
    init: async () => {
      const opened = createHttpClient();
      client = opened;
      const limit = (): AbortSignal => AbortSignal.timeout(REQUEST_TIMEOUT_MS);
      keys = createRemoteJwks({
        url: async () =>
          metadata.jwksURL === ''
            ? await discoverJwksUrl(metadata.issuer, opened, limit())
            : metadata.jwksURL,
        client: opened,
        clock,
        log,
        minRefreshMs: MIN_REFRESH_MS,
        timeoutMs: REQUEST_TIMEOUT_MS,
      });
      await keys.start(START_WAIT_MS);
    },
    close: async () => {
      keys?.close();
      client?.close();
      keys = undefined;
      client = undefined;
    },
    handle: async (request, next) => {
      const token = tokenOf(request);
      const source = keys;
      if (token === undefined || source === undefined) return textResponse(401, 'Unauthorized');
      let set: JwkSet;
      try {
        set = await source.current();
      } catch (error) {
        log.error(`middleware ${deps.componentName} has no keys: ${errorText(error)}`);
        return textResponse(500, 'Internal Server Error');
      }
      return (await accepts(token, set, source)) ? await next(request) : textResponse(401, 'Unauthorized');
    },
  };
}

function tokenOf(request: PipelineRequest): string | undefined {
  const given = request.headers['authorization'];
  const header = typeof given === 'string' ? given : (given?.[0] ?? '');
  if (header.slice(0, 7).toLowerCase() !== 'bearer ') return undefined;
  const token = header.slice(7);
  return token.length < MIN_TOKEN_CHARACTERS ? undefined : token;
}

/** The API token check (Dapr HTTP reference, section 3.1). */

import { timingSafeEqual } from 'node:crypto';
import type { ApiRequest } from './api-request.ts';
import { plainReply, type Reply } from './respond.ts';

const REFUSED: Reply = plainReply(401, 'invalid api token');
/** What an app waits on before it can know a token. */
const OPEN_PATHS = new Set(['/v1.0/healthz', '/v1.0/healthz/outbound']);

/** Makes the check for a token: the refusal, or `undefined` to go on. Comparing takes the same time for any guess. */
export function createTokenCheck(token: string): (request: ApiRequest) => Reply | undefined {
  const wanted = Buffer.from(token, 'utf8');
  const matches = (value: string): boolean => {
    // Header values arrive one character a byte.
    const given = Buffer.from(value, 'latin1');
    if (given.byteLength === wanted.byteLength) return timingSafeEqual(given, wanted);
    timingSafeEqual(wanted, wanted);
    return false;
  };
  return (request) => {
    if (matches(request.header('dapr-api-token'))) return undefined;
    return request.method === 'GET' && OPEN_PATHS.has(request.path) ? undefined : REFUSED;
  };
}

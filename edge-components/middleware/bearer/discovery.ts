/** Finds the key set of an issuer (OpenID Connect Discovery 1.0, section 4). */

import type { HttpClient } from '../../drivers/http/request.ts';

const MAX_DOCUMENT_BYTES = 1024 * 1024;
const MAX_REDIRECTS = 5;

/** URL of the issuer's key set; rejects when the document is not about exactly this issuer. */
export async function discoverJwksUrl(
  issuer: string,
  client: HttpClient,
  signal: AbortSignal,
): Promise<string> {
  const url = `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`;
  const answer = await client.call({
    method: 'GET',
    url,
    headers: { accept: 'application/json' },
    signal,
    maxAnswerBytes: MAX_DOCUMENT_BYTES,
    maxRedirects: MAX_REDIRECTS,
  });
  if (answer.status !== 200) throw new Error(`${url} answered with status ${answer.status}`);
  let document: { readonly issuer?: unknown; readonly jwks_uri?: unknown } | null;
  try {
    document = JSON.parse(Buffer.from(answer.body).toString('utf8'));
  } catch {
    throw new Error(`${url} is not valid JSON`);
  }
  if (document?.issuer !== issuer)
    throw new Error(`${url} is about the issuer '${document?.issuer}', not about '${issuer}'`);
  const keys = document.jwks_uri;
  if (typeof keys !== 'string' || !URL.canParse(keys) || !/^https?:/i.test(keys))
    throw new Error(`${url} names no jwks_uri`);
  return keys;
}

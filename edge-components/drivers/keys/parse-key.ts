/** Key material in the forms that Dapr's local providers read (components reference, section 7). */

import { createPrivateKey, createPublicKey, createSecretKey, type KeyObject } from 'node:crypto';

const SYMMETRIC_SIZES = new Set([16, 24, 32]);

/** Reads `bytes` by the ending of `name`: `.json` JWK, `.pem` PEM, otherwise by what it looks like. */
export function parseKey(bytes: Buffer, name: string): KeyObject {
  const text = bytes.toString('utf8').trim();
  if (name.endsWith('.json') || (text.startsWith('{') && !SYMMETRIC_SIZES.has(bytes.length)))
    return keyOfJwk(JSON.parse(text));
  if (name.endsWith('.pem') || text.startsWith('-----')) return keyOfPem(text);
  const decoded = Buffer.from(text.replaceAll('-', '+').replaceAll('_', '/'), 'base64');
  const isBase64 = /^[A-Za-z0-9+/_-]+={0,2}$/.test(text) && decoded.length > 0;
  return createSecretKey(isBase64 ? decoded : bytes);
}

function keyOfPem(text: string): KeyObject {
  return /-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(text) ? createPrivateKey(text) : createPublicKey(text);
}

/** A JWK of type `oct`, RSA, EC or OKP. */
export function keyOfJwk(jwk: Readonly<Record<string, unknown>>): KeyObject {
  if (jwk['kty'] === 'oct') return createSecretKey(Buffer.from(String(jwk['k'] ?? ''), 'base64url'));
  const input = { key: jwk as never, format: 'jwk' as const };
  return jwk['d'] === undefined ? createPublicKey(input) : createPrivateKey(input);
}

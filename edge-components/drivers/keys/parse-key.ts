/** Key material in the forms that Dapr's local providers read (components reference, section 7). */

import { createPrivateKey, createPublicKey, createSecretKey, type KeyObject } from 'node:crypto';

const SYMMETRIC_SIZES = new Set([16, 24, 32]);

/** Reads `bytes` by the ending of `name`: `.json` JWK, `.pem` PEM, otherwise by what it looks like. */
export function parseKey(bytes: Buffer, name: string): KeyObject {
  if (bytes.length === 0) throw new Error('key is empty');
  const text = bytes.toString('utf8').trim();
  const ending = name.slice(name.lastIndexOf('.') + 1).toLowerCase();
  if (ending === 'json') return keyOfJwk(JSON.parse(text));
  if (ending === 'pem') return keyOfPem(text);
  if (text.startsWith('{') && !SYMMETRIC_SIZES.has(bytes.length)) return keyOfJwk(JSON.parse(text));
  if (text.startsWith('-----')) return keyOfPem(text);
  return createSecretKey(decodedBase64(text) ?? bytes);
}

/** Base64 of either alphabet, padding or not; `undefined` when it is something else. */
function decodedBase64(text: string): Buffer | undefined {
  const bare = text.replace(/=+$/, '');
  if (bare === '' || bare.length % 4 === 1) return undefined;
  if (/^[A-Za-z0-9+/]+$/.test(bare)) return Buffer.from(bare, 'base64');
  return /^[A-Za-z0-9_-]+$/.test(bare) ? Buffer.from(bare, 'base64url') : undefined;
}

function keyOfPem(text: string): KeyObject {
  return /-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(text) ? createPrivateKey(text) : createPublicKey(text);
}

/** A JWK of type `oct`, RSA, EC or OKP. */
export function keyOfJwk(jwk: Readonly<Record<string, unknown>>): KeyObject {
  if (jwk['kty'] === 'oct') {
    const bytes = Buffer.from(String(jwk['k'] ?? ''), 'base64url');
    if (bytes.length === 0) throw new Error('key is empty');
    return createSecretKey(bytes);
  }
  const input = { key: jwk as never, format: 'jwk' as const };
  return jwk['d'] === undefined ? createPublicKey(input) : createPrivateKey(input);
}

/** Rejects a JWK whose `use`, `key_ops` or `alg` says that it is for something else (RFC 7517, section 4). */
export function checkKeyUse(
  jwk: Readonly<Record<string, unknown>>,
  operation: 'wrapKey' | 'unwrapKey',
  algorithm: string,
): void {
  const operations = jwk['key_ops'];
  const named = !Array.isArray(operations) || operations.length === 0 || operations.includes(operation);
  const use = jwk['use'] ?? '';
  if (!named || (use !== '' && use !== 'enc'))
    throw new Error(`key cannot perform the '${operation}' operation`);
  const only = jwk['alg'] ?? '';
  if (only !== '' && only !== algorithm) throw new Error(`key cannot be used with algorithm '${algorithm}'`);
}

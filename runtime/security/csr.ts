/**
 * A certificate signing request for an Ed25519 key (RFC 2986, RFC 8410): no subject, no attributes, since sentry and the relay
 * take nothing but the key from it. Five DER elements, hence no library (decision 0012).
 */

import { createPublicKey, type KeyObject, sign, verify } from 'node:crypto';
import { BIT_STRING, CONTEXT_0, der, elementsOf, INTEGER, pemBytes, pemText, SEQUENCE } from './der.ts';

/** SEQUENCE { OBJECT IDENTIFIER 1.3.101.112 } */
const ED25519 = Uint8Array.of(0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70);
const VERSION = Uint8Array.of(INTEGER, 1, 0);
const LABEL = 'CERTIFICATE REQUEST';

/** The request in PEM, signed with `privateKey`. */
export function certificateRequest(privateKey: KeyObject): string {
  const publicKey = createPublicKey(privateKey).export({ type: 'spki', format: 'der' });
  const info = der(SEQUENCE, VERSION, der(SEQUENCE), publicKey, der(CONTEXT_0));
  const signature = der(BIT_STRING, Uint8Array.of(0), sign(null, info, privateKey));
  return pemText(LABEL, der(SEQUENCE, info, ED25519, signature));
}

/** The key of a request in PEM whose signature proves that the asker has it. Throws with what is wrong. */
export function requestedKey(request: string): KeyObject {
  const [body] = elementsOf(pemBytes(LABEL, request));
  const [info, , signature] = elementsOf(body?.contents ?? new Uint8Array(0));
  const publicKey = elementsOf(info?.contents ?? new Uint8Array(0))[2];
  if (info === undefined || signature === undefined || publicKey === undefined)
    throw new Error('malformed certificate request');
  const key = createPublicKey({ key: Buffer.from(publicKey.whole), type: 'spki', format: 'der' });
  if (key.asymmetricKeyType !== 'ed25519') throw new Error('the key of a request must be Ed25519');
  if (!verify(null, info.whole, key, signature.contents.subarray(1)))
    throw new Error('the certificate request is not signed with its own key');
  return key;
}

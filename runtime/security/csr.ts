/**
 * A certificate signing request for an Ed25519 key (RFC 2986, RFC 8410): no subject, no attributes, since sentry takes
 * nothing but the key from it. Five DER elements, hence no library (decision 0012).
 */

import { createPublicKey, type KeyObject, sign } from 'node:crypto';

const INTEGER = 0x02;
const BIT_STRING = 0x03;
const SEQUENCE = 0x30;
const CONTEXT_0 = 0xa0;
/** SEQUENCE { OBJECT IDENTIFIER 1.3.101.112 } */
const ED25519 = Uint8Array.of(0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70);
const VERSION = Uint8Array.of(INTEGER, 1, 0);

/** Tag, length, contents; every length here is below 64 KiB. */
function der(tag: number, ...contents: readonly Uint8Array[]): Uint8Array {
  const body = Buffer.concat(contents);
  const { length } = body;
  const header =
    length < 0x80
      ? [tag, length]
      : length < 0x100
        ? [tag, 0x81, length]
        : [tag, 0x82, length >> 8, length & 0xff];
  return Buffer.concat([Uint8Array.from(header), body]);
}

/** The request in PEM, signed with `privateKey`. */
export function certificateRequest(privateKey: KeyObject): string {
  const publicKey = createPublicKey(privateKey).export({ type: 'spki', format: 'der' });
  const info = der(SEQUENCE, VERSION, der(SEQUENCE), publicKey, der(CONTEXT_0));
  const signature = der(BIT_STRING, Uint8Array.of(0), sign(null, info, privateKey));
  const text = Buffer.from(der(SEQUENCE, info, ED25519, signature)).toString('base64');
  const lines = text.match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE REQUEST-----\n${lines.join('\n')}\n-----END CERTIFICATE REQUEST-----\n`;
}

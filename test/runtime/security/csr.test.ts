/** The request read back by an independent reading of DER, and its signature checked. */

import { createPublicKey, generateKeyPairSync, verify } from 'node:crypto';
import t from 'tap';
import { certificateRequest } from '../../../runtime/security/csr.ts';

interface Element {
  readonly tag: number;
  readonly body: Buffer;
  readonly whole: Buffer;
}

function elements(bytes: Buffer): Element[] {
  const found: Element[] = [];
  for (let at = 0; at < bytes.length; ) {
    const long = (bytes[at + 1] ?? 0) & 0x80 ? (bytes[at + 1] ?? 0) & 0x7f : 0;
    const length = long === 0 ? (bytes[at + 1] ?? 0) : bytes.readUIntBE(at + 2, long);
    const start = at + 2 + long;
    found.push({
      tag: bytes[at] ?? 0,
      body: bytes.subarray(start, start + length),
      whole: bytes.subarray(at, start + length),
    });
    at = start + length;
  }
  return found;
}

t.test('version, empty subject, key, no attributes, signature', (t) => {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const pem = certificateRequest(privateKey);
  t.match(
    pem,
    /^-----BEGIN CERTIFICATE REQUEST-----\n[A-Za-z0-9+/=\n]+\n-----END CERTIFICATE REQUEST-----\n$/,
  );
  t.ok(pem.split('\n').every((line) => line.length <= 64));
  const [request, ...rest] = elements(Buffer.from(pem.replace(/-----[^-]+-----|\n/g, ''), 'base64'));
  t.equal(rest.length, 0);
  const [info, algorithm, signature] = elements(request?.body ?? Buffer.alloc(0));
  const [version, subject, spki, attributes] = elements(info?.body ?? Buffer.alloc(0));
  t.same(
    [version?.body.toString('hex'), subject?.whole.toString('hex'), attributes?.whole.toString('hex')],
    ['00', '3000', 'a000'],
  );
  const key = createPublicKey({ key: spki?.whole ?? Buffer.alloc(0), type: 'spki', format: 'der' });
  t.ok(key.equals(publicKey));
  t.equal(algorithm?.body.toString('hex'), '06032b6570', 'Ed25519, without parameters');
  t.equal(signature?.body[0], 0, 'no unused bits');
  t.ok(
    verify(null, info?.whole ?? Buffer.alloc(0), publicKey, signature?.body.subarray(1) ?? Buffer.alloc(0)),
  );
  t.end();
});

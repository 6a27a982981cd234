/** A certificate authority made by a test: Ed25519, as many levels as wanted, any names and dates. */

import { createPublicKey, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto';

export interface Validity {
  /** Milliseconds since 1970; default an hour ago. */
  readonly from?: number;
  /** Default in an hour. */
  readonly to?: number;
}

export interface CertificateRequest extends Validity {
  readonly uris?: readonly string[];
  readonly dns?: readonly string[];
  readonly ca?: boolean;
  readonly commonName?: string;
}

export interface Issued {
  /** PEM; the issuing authorities below the root follow. */
  readonly chain: string;
  /** PEM. */
  readonly key: string;
}

export interface Authority {
  /** Its own certificate in PEM. */
  readonly certificate: string;
  readonly key: string;
  /** A certificate for this key, with the chain behind it. */
  sign(publicKey: KeyObject, request: CertificateRequest): string;
  /** A new key and its certificate. */
  issue(request: CertificateRequest): Issued;
  /** An authority below this one. */
  intermediate(commonName: string): Authority;
}

const HOUR_MS = 3_600_000;
const ED25519 = Buffer.from('300506032b6570', 'hex');

function der(tag: number, ...contents: readonly Uint8Array[]): Buffer {
  const body = Buffer.concat(contents);
  const { length } = body;
  const size = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 255];
  return Buffer.concat([Uint8Array.from([tag, ...size]), body]);
}
const sequence = (...contents: readonly Uint8Array[]): Buffer => der(0x30, ...contents);

function name(commonName: string): Buffer {
  if (commonName === '') return sequence();
  const value = der(0x0c, Buffer.from(commonName));
  return sequence(der(0x31, sequence(Buffer.from('0603550403', 'hex'), value)));
}

function time(ms: number): Buffer {
  return der(0x18, Buffer.from(`${new Date(ms).toISOString().replace(/[-:T]|\..*/g, '')}Z`));
}

function extension(oid: string, critical: boolean, value: Uint8Array): Buffer {
  const flag = critical ? [Buffer.from('0101ff', 'hex')] : [];
  return sequence(Buffer.from(oid, 'hex'), ...flag, der(0x04, value));
}

function pem(label: string, bytes: Uint8Array): string {
  const lines =
    Buffer.from(bytes)
      .toString('base64')
      .match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`;
}

function certificate(
  issuer: { readonly commonName: string; readonly key: KeyObject },
  publicKey: KeyObject,
  request: CertificateRequest,
): string {
  const { uris = [], dns = [], ca = false, commonName = '' } = request;
  const now = Date.now();
  const names = [
    ...uris.map((uri) => der(0x86, Buffer.from(uri))),
    ...dns.map((host) => der(0x82, Buffer.from(host))),
  ];
  const extensions = [
    ...(ca ? [extension('0603551d13', true, sequence(Buffer.from('0101ff', 'hex')))] : []),
    ...(names.length > 0 ? [extension('0603551d11', commonName === '', sequence(...names))] : []),
  ];
  const body = sequence(
    Buffer.from('a003020102', 'hex'),
    der(0x02, Buffer.from([1]), randomBytes(8)),
    ED25519,
    name(issuer.commonName),
    sequence(time(request.from ?? now - HOUR_MS), time(request.to ?? now + HOUR_MS)),
    name(commonName),
    publicKey.export({ type: 'spki', format: 'der' }),
    ...(extensions.length > 0 ? [der(0xa3, sequence(...extensions))] : []),
  );
  const signature = der(0x03, Buffer.of(0), sign(null, body, issuer.key));
  return pem('CERTIFICATE', sequence(body, ED25519, signature));
}

function authority(commonName: string, key: KeyObject, own: string, chain: string): Authority {
  const self: Authority = {
    certificate: own,
    key: String(key.export({ type: 'pkcs8', format: 'pem' })),
    sign: (publicKey, request) => certificate({ commonName, key }, publicKey, request) + chain,
    issue: (request) => {
      const pair = generateKeyPairSync('ed25519');
      return {
        chain: self.sign(pair.publicKey, request),
        key: String(pair.privateKey.export({ type: 'pkcs8', format: 'pem' })),
      };
    },
    intermediate: (below) => {
      const pair = generateKeyPairSync('ed25519');
      const signed = certificate({ commonName, key }, pair.publicKey, { ca: true, commonName: below });
      return authority(below, pair.privateKey, signed, signed + chain);
    },
  };
  return self;
}

/** A root. */
export function createAuthority(commonName = 'test root', validity: Validity = {}): Authority {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const own = certificate({ commonName, key: privateKey }, publicKey, { ...validity, ca: true, commonName });
  return authority(commonName, privateKey, own, '');
}

/** The public key of a request in PEM: the third member of its body (RFC 2986). */
export function publicKeyOfRequest(request: string): KeyObject {
  const bytes = Buffer.from(request.replace(/-----[^-]+-----|\s/g, ''), 'base64');
  const key = bytes.indexOf(Buffer.from('302a300506032b6570', 'hex'));
  return createPublicKey({ key: bytes.subarray(key, key + 44), type: 'spki', format: 'der' });
}

/**
 * A small certificate authority (RFC 5280): a root of its own or the files of its user, and end-entity certificates below it.
 * Names, dates and usages are written here; keys, signatures and everything that is read are OpenSSL's (decisions 0012, 0020).
 */

import {
  createHash,
  createPrivateKey,
  generateKeyPairSync,
  type KeyObject,
  sign,
  type X509Certificate,
} from 'node:crypto';
import { isIP } from 'node:net';
import type { Random } from '../contracts/random.ts';
import {
  BIT_STRING,
  CONTEXT_3,
  der,
  elementsOf,
  INTEGER,
  OCTET_STRING,
  pemText,
  SEQUENCE,
  SET,
  UTF8_STRING,
} from './der.ts';
import { parseCertificates } from './pem.ts';

export interface CertificateNames {
  readonly commonName: string;
  readonly uris?: readonly string[];
  /** DNS names and IP addresses. */
  readonly hosts?: readonly string[];
  readonly usage: 'client' | 'server' | 'both';
}

export interface Validity {
  readonly fromMs: number;
  readonly toMs: number;
}

export interface Authority {
  /** Its certificates in PEM: what the other side must trust. */
  readonly certificates: string;
  /** SHA-256 of the first of them, by which a stranger recognises it. */
  readonly fingerprint: Uint8Array;
  /** A certificate in PEM for this key. */
  issue(publicKey: KeyObject, names: CertificateNames, validity: Validity): string;
}

interface Algorithm {
  /** AlgorithmIdentifier in DER. */
  readonly identifier: Uint8Array;
  readonly digest: string | null;
}

const hex = (text: string): Buffer => Buffer.from(text, 'hex');
/** RFC 8410, RFC 5758 and RFC 4055. */
const ALGORITHMS: Readonly<Record<string, Algorithm>> = {
  ed25519: { identifier: hex('300506032b6570'), digest: null },
  ec: { identifier: hex('300a06082a8648ce3d040302'), digest: 'sha256' },
  rsa: { identifier: hex('300d06092a864886f70d01010b0500'), digest: 'sha256' },
};
const COMMON_NAME = hex('0603550403');
const USAGE_OID = hex('0603551d0f');
const CONSTRAINTS_OID = hex('0603551d13');
const NAMES_OID = hex('0603551d11');
const EXTENDED_OID = hex('0603551d25');
const SERVER = hex('06082b06010505070301');
const CLIENT = hex('06082b06010505070302');
const PURPOSES = { server: [SERVER], client: [CLIENT], both: [SERVER, CLIENT] };
const TRUE = hex('0101ff');
const SERIAL_BYTES = 16;
const VERSION_3 = hex('a003020102');

/** An authority with this certificate (first in `certificates`) and key, both in PEM. Throws with what is wrong. */
export function openAuthority(certificates: string, privateKey: string, random: Random): Authority {
  const [own] = parseCertificates(certificates);
  if (own === undefined) throw new Error('there is no certificate of an authority');
  const key = createPrivateKey(privateKey);
  if (!own.ca) throw new Error('the certificate is not that of an authority (CA:TRUE is missing)');
  if (!own.checkPrivateKey(key)) throw new Error('the key is not that of the first certificate');
  const issuer = subjectOf(own);
  return {
    certificates,
    fingerprint: createHash('sha256').update(own.raw).digest(),
    issue: (publicKey, names, validity) =>
      signed(
        {
          issuer,
          subject: nameOf(names.commonName),
          publicKey,
          validity,
          extensions: leafExtensions(names),
        },
        key,
        random,
      ),
  };
}

/** A new root in PEM: certificate and key. */
export function createRoot(
  commonName: string,
  validity: Validity,
  random: Random,
): { readonly certificate: string; readonly key: string } {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const name = nameOf(commonName);
  const extensions = [
    extension(CONSTRAINTS_OID, true, der(SEQUENCE, TRUE)),
    // keyCertSign and cRLSign
    extension(USAGE_OID, true, hex('03020106')),
  ];
  return {
    certificate: signed({ issuer: name, subject: name, publicKey, validity, extensions }, privateKey, random),
    key: String(privateKey.export({ type: 'pkcs8', format: 'pem' })),
  };
}

/** SHA-256 of a public key, by which a node is known. */
export function keyHash(publicKey: KeyObject): string {
  return createHash('sha256')
    .update(publicKey.export({ type: 'spki', format: 'der' }))
    .digest('hex');
}

interface Body {
  readonly issuer: Uint8Array;
  readonly subject: Uint8Array;
  readonly publicKey: KeyObject;
  readonly validity: Validity;
  readonly extensions: readonly Uint8Array[];
}

function signed(body: Body, key: KeyObject, random: Random): string {
  const algorithm = ALGORITHMS[key.asymmetricKeyType ?? ''];
  if (algorithm === undefined)
    throw new Error(`keys of type ${key.asymmetricKeyType} cannot sign here: expected Ed25519, EC or RSA`);
  const serial = random.bytes(SERIAL_BYTES);
  // Positive and without a leading zero byte.
  serial[0] = ((serial[0] ?? 0) & 0x7f) | 0x40;
  const { fromMs, toMs } = body.validity;
  const info = der(
    SEQUENCE,
    VERSION_3,
    der(INTEGER, serial),
    algorithm.identifier,
    body.issuer,
    der(SEQUENCE, timeOf(fromMs), timeOf(toMs)),
    body.subject,
    body.publicKey.export({ type: 'spki', format: 'der' }),
    der(CONTEXT_3, der(SEQUENCE, ...body.extensions)),
  );
  const signature = der(BIT_STRING, Uint8Array.of(0), sign(algorithm.digest, info, key));
  return pemText('CERTIFICATE', der(SEQUENCE, info, algorithm.identifier, signature));
}

function leafExtensions({ uris = [], hosts = [], usage }: CertificateNames): readonly Uint8Array[] {
  const names = [
    ...uris.map((uri) => der(0x86, Buffer.from(uri))),
    ...hosts.map((host) => (isIP(host) === 0 ? der(0x82, Buffer.from(host)) : der(0x87, addressBytes(host)))),
  ];
  return [
    extension(CONSTRAINTS_OID, true, der(SEQUENCE)),
    // digitalSignature
    extension(USAGE_OID, true, hex('03020780')),
    extension(EXTENDED_OID, false, der(SEQUENCE, ...PURPOSES[usage])),
    ...(names.length === 0 ? [] : [extension(NAMES_OID, false, der(SEQUENCE, ...names))]),
  ];
}

function extension(oid: Uint8Array, critical: boolean, value: Uint8Array): Uint8Array {
  return der(SEQUENCE, oid, ...(critical ? [TRUE] : []), der(OCTET_STRING, value));
}

function nameOf(commonName: string): Uint8Array {
  return der(SEQUENCE, der(SET, der(SEQUENCE, COMMON_NAME, der(UTF8_STRING, Buffer.from(commonName)))));
}

/** The subject as it stands in the certificate: issuers are compared byte for byte. */
function subjectOf(certificate: X509Certificate): Uint8Array {
  const [whole] = elementsOf(certificate.raw);
  const [info] = elementsOf(whole?.contents ?? new Uint8Array(0));
  const members = elementsOf(info?.contents ?? new Uint8Array(0));
  // [0] version is there in every certificate of an authority: extensions need version 3.
  const subject = members[5];
  if (subject === undefined) throw new Error('malformed certificate');
  return subject.whole;
}

const UTC_TIME = 0x17;
const GENERALIZED_TIME = 0x18;

/** UTCTime until 2049, GeneralizedTime from 2050 on (RFC 5280, 4.1.2.5). */
function timeOf(ms: number): Uint8Array {
  const text = Temporal.Instant.fromEpochMilliseconds(Math.trunc(ms))
    .toString({ smallestUnit: 'second' })
    .replace(/[-:T]/g, '');
  return Number(text.slice(0, 4)) < 2050
    ? der(UTC_TIME, Buffer.from(text.slice(2)))
    : der(GENERALIZED_TIME, Buffer.from(text));
}

function addressBytes(address: string): Uint8Array {
  if (isIP(address) === 4) return Uint8Array.from(address.split('.').map(Number));
  const [head = '', tail] = address.split('::');
  const groups = (text: string): number[] =>
    text === '' ? [] : text.split(':').map((group) => Number.parseInt(group, 16));
  const left = groups(head);
  const right = tail === undefined ? [] : groups(tail);
  const all = [...left, ...new Array<number>(8 - left.length - right.length).fill(0), ...right];
  return Uint8Array.from(all.flatMap((group) => [group >> 8, group & 0xff]));
}

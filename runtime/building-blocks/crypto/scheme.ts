/**
 * The document format `dapr.io/enc/v1` (gRPC reference, section 2.6).
 *
 *     dapr.io/enc/v1 LF
 *     {"k":"<key name>","kw":5,"wfk":"<base64>","cph":1,"np":"<base64>"} LF
 *     <base64 of HMAC-SHA-256(header key, the two lines above with their LF)> LF
 *     segment*            64 KiB of plain text each, sealed with a 16-byte tag
 *
 * Header key = HKDF-SHA-256(file key, info "header"), payload key = HKDF-SHA-256(file key, salt = nonce prefix, info
 * "payload"). Nonce of a segment = 7-byte prefix, 32-bit big-endian counter, one byte that is 1 for the last segment.
 */

import { createCipheriv, createDecipheriv, createHmac, hkdfSync, timingSafeEqual } from 'node:crypto';

export const SCHEME_LINE = 'dapr.io/enc/v1';
export const SEGMENT_BYTES = 64 * 1024;
export const TAG_BYTES = 16;
const NONCE_PREFIX_BYTES = 7;
const MAX_SEGMENTS = 2 ** 32 - 1;
/** Header lines are short: key names and a wrapped 32-byte key. */
export const MAX_HEADER_BYTES = 64 * 1024;

export const CIPHERS: Readonly<Record<string, 1 | 2>> = { 'AES-GCM': 1, 'CHACHA20-POLY1305': 2 };

/** Wrap algorithms by name, aliases included; the CBC ones have no place for an IV and are refused by the block. */
export const WRAP_IDS: Readonly<Record<string, number>> = {
  A256KW: 1,
  AES: 1,
  'A128CBC-NOPAD': 2,
  'A192CBC-NOPAD': 3,
  'A256CBC-NOPAD': 4,
  'RSA-OAEP-256': 5,
  RSA: 5,
};
export const WRAP_NAMES: Readonly<Record<number, string>> = {
  1: 'A256KW',
  2: 'A128CBC-NOPAD',
  3: 'A192CBC-NOPAD',
  4: 'A256CBC-NOPAD',
  5: 'RSA-OAEP-256',
};

export interface Manifest {
  readonly keyName: string;
  readonly wrapId: number;
  readonly wrappedKey: Uint8Array;
  readonly cipher: 1 | 2;
  readonly noncePrefix: Uint8Array;
}

/** The two header lines that the authentication code covers, and its key derivation. */
export function encodeHeader(manifest: Manifest, fileKey: Uint8Array): Buffer {
  const json = JSON.stringify({
    ...(manifest.keyName === '' ? {} : { k: manifest.keyName }),
    kw: manifest.wrapId,
    wfk: Buffer.from(manifest.wrappedKey).toString('base64'),
    cph: manifest.cipher,
    np: Buffer.from(manifest.noncePrefix).toString('base64'),
  });
  const lines = `${SCHEME_LINE}\n${json}\n`;
  return Buffer.from(`${lines}${headerCode(lines, fileKey).toString('base64')}\n`);
}

function headerCode(lines: string | Uint8Array, fileKey: Uint8Array): Buffer {
  return createHmac('sha256', Buffer.from(hkdfSync('sha256', fileKey, '', 'header', 32)))
    .update(lines)
    .digest();
}

export interface DecodedHeader {
  readonly manifest: Manifest;
  /** Throws unless the authentication code fits the file key. */
  verify(fileKey: Uint8Array): void;
}

/** Decodes the three header lines (without their last LF). */
export function decodeHeader(lines: readonly [Buffer, Buffer, Buffer]): DecodedHeader {
  const [scheme, json, code] = lines;
  if (scheme.toString('latin1') !== SCHEME_LINE) throw new Error('invalid header: unsupported scheme');
  const manifest = decodeManifest(json.toString('utf8'));
  const given = Buffer.from(code.toString('latin1'), 'base64');
  return {
    manifest,
    verify: (fileKey) => {
      const expected = headerCode(
        Buffer.concat([scheme, Buffer.from('\n'), json, Buffer.from('\n')]),
        fileKey,
      );
      if (given.length !== expected.length || !timingSafeEqual(given, expected)) {
        throw new Error('invalid header: message authentication code does not match');
      }
    },
  };
}

function decodeManifest(text: string): Manifest {
  let raw: Record<string, unknown> | null;
  try {
    raw = JSON.parse(text) as Record<string, unknown> | null;
  } catch {
    throw new Error('invalid header: manifest is not valid JSON');
  }
  if (typeof raw !== 'object' || raw === null) throw new Error('invalid header: manifest is not an object');
  const wrappedKey = Buffer.from(String(raw['wfk'] ?? ''), 'base64');
  const noncePrefix = Buffer.from(String(raw['np'] ?? ''), 'base64');
  const wrapId = Number(raw['kw']);
  const cipher = Number(raw['cph']);
  if (WRAP_NAMES[wrapId] === undefined)
    throw new Error('invalid header: manifest names no known key wrapping algorithm');
  if (cipher !== 1 && cipher !== 2) throw new Error('invalid header: manifest names no known cipher');
  if (wrappedKey.length === 0) throw new Error('invalid header: manifest holds no wrapped key');
  if (noncePrefix.length !== NONCE_PREFIX_BYTES)
    throw new Error('invalid header: manifest holds no nonce prefix of 7 bytes');
  return { keyName: typeof raw['k'] === 'string' ? raw['k'] : '', wrapId, wrappedKey, cipher, noncePrefix };
}

/** Seals or opens the segments of one document, in order. */
export interface SegmentCipher {
  seal(plain: Uint8Array, last: boolean): Buffer;
  open(sealed: Uint8Array, last: boolean): Buffer;
}

export function segmentCipher(
  manifest: Pick<Manifest, 'cipher' | 'noncePrefix'>,
  fileKey: Uint8Array,
): SegmentCipher {
  const key = Buffer.from(hkdfSync('sha256', fileKey, manifest.noncePrefix, 'payload', 32));
  const algorithm = (manifest.cipher === 1 ? 'aes-256-gcm' : 'chacha20-poly1305') as 'aes-256-gcm';
  let counter = 0;
  const nonce = (last: boolean): Buffer => {
    if (counter > MAX_SEGMENTS) throw new Error('the document has too many segments');
    const bytes = Buffer.alloc(12);
    bytes.set(manifest.noncePrefix, 0);
    bytes.writeUInt32BE(counter, NONCE_PREFIX_BYTES);
    bytes[11] = last ? 1 : 0;
    counter += 1;
    return bytes;
  };
  return {
    seal: (plain, last) => {
      const cipher = createCipheriv(algorithm, key, nonce(last), { authTagLength: TAG_BYTES });
      return Buffer.concat([cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
    },
    open: (sealed, last) => {
      if (sealed.length < TAG_BYTES) throw new Error('a segment is too short');
      const decipher = createDecipheriv(algorithm, key, nonce(last), { authTagLength: TAG_BYTES });
      decipher.setAuthTag(sealed.subarray(sealed.length - TAG_BYTES));
      return Buffer.concat([
        decipher.update(sealed.subarray(0, sealed.length - TAG_BYTES)),
        decipher.final(),
      ]);
    },
  };
}

/**
 * CBOR (RFC 8949) for records that Skerry itself writes and reads: plain data items without the library's own
 * extensions, so that any other decoder can read them.
 */

import { Encoder } from 'cbor-x';

const encoder = new Encoder({ useRecords: false, tagUint8Array: false });

/** A message as it lies on disk: an array of the header map and the payload bytes. */
export interface CborRecord {
  readonly headers: Readonly<Record<string, string>>;
  readonly payload: Uint8Array;
}

/** Encodes a record; the bytes are a buffer of their own. */
export function encodeRecord(record: CborRecord): Uint8Array {
  return new Uint8Array(encoder.encode([record.headers, record.payload]));
}

/** Decodes a record; the payload is a view into `bytes`. Throws when `bytes` are not such a record. */
export function decodeRecord(bytes: Uint8Array): CborRecord {
  const decoded: unknown = encoder.decode(bytes as Buffer);
  const [headers, payload] = Array.isArray(decoded) ? decoded : [];
  if (typeof headers !== 'object' || headers === null || !(payload instanceof Uint8Array)) {
    throw new Error('not a message record');
  }
  return { headers: headers as Record<string, string>, payload };
}

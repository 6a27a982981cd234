/**
 * ETags that carry a checksum of their value, so that a wrong bit on the card is noticed before the value is taken for
 * right. The table is Dapr's and stays so: the checksum takes the last four bytes of the UUID, which says so by version 8
 * (RFC 9562, section 5.8). Values written by Dapr or by earlier versions have UUIDs of version 4 and are not checked.
 */

import { crc32 } from 'node:zlib';

const VERSION_AT = 14;
const CHECKSUM_AT = 28;
const LENGTH = 36;

/** The ETag of `value`, which is what the column holds, made from a random UUID. */
export function checkedEtag(uuid: string, key: string, value: string | Uint8Array): string {
  const checksum = checksumOf(key, value);
  return `${uuid.slice(0, VERSION_AT)}8${uuid.slice(VERSION_AT + 1, CHECKSUM_AT)}${checksum}`;
}

/** Whether the value of a row is what was written under this ETag, as far as that can be known. */
export function isIntact(etag: string, key: string, value: Uint8Array): boolean {
  if (etag.length !== LENGTH || etag[VERSION_AT] !== '8') return true;
  return etag.slice(CHECKSUM_AT) === checksumOf(key, value);
}

function checksumOf(key: string, value: string | Uint8Array): string {
  return crc32(value, crc32(key)).toString(16).padStart(8, '0');
}

/** Details of a `google.rpc.Status` as they are in it: encoded `Any` messages that need not be understood to be passed on. */

import { BinaryReader, WireType } from '@bufbuild/protobuf/wire';

/** `repeated google.protobuf.Any details = 3` of google.rpc.Status. */
const DETAILS_FIELD = 3;

/** The details of an encoded status; a status that cannot be read has none. */
export function statusDetails(encoded: Uint8Array | undefined): Uint8Array[] {
  if (encoded === undefined || encoded.byteLength === 0) return [];
  const details: Uint8Array[] = [];
  try {
    const reader = new BinaryReader(encoded);
    while (reader.pos < reader.len) {
      const [field, type] = reader.tag();
      if (field === DETAILS_FIELD && type === WireType.LengthDelimited) details.push(reader.bytes());
      else reader.skip(type, field);
    }
    return details;
  } catch {
    return [];
  }
}

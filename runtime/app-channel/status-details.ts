/** Details of a `google.rpc.Status`, as encoded `Any` messages and back. */

import { fromBinary, toBinary } from '@bufbuild/protobuf';
import { AnySchema } from '@bufbuild/protobuf/wkt';
import { StatusSchema } from '../generated/google/rpc/status_pb.ts';

/** The details of an encoded status; a status that cannot be read has none. */
export function statusDetails(encoded: Uint8Array | undefined): Uint8Array[] {
  if (encoded === undefined || encoded.byteLength === 0) return [];
  try {
    return fromBinary(StatusSchema, encoded).details.map((detail) => toBinary(AnySchema, detail));
  } catch {
    return [];
  }
}

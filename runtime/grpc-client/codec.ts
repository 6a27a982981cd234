/** Codec of a generated message, as `contracts/grpc-wire/service.ts` wants it. */

import { type DescMessage, fromBinary, type MessageShape, toBinary } from '@bufbuild/protobuf';
import type { Codec } from '../contracts/grpc-wire/service.ts';

/** Bytes of `schema`'s messages and back; unknown fields are kept. */
export function codec<D extends DescMessage>(schema: D): Codec<MessageShape<D>> {
  return {
    encode: (message) => toBinary(schema, message),
    decode: (bytes) => fromBinary(schema, bytes),
  };
}

/** Raw key operations: no release of Dapr has them (gRPC reference, section 2.6). */

import type { DescMessage } from '@bufbuild/protobuf';
import { runtimeError } from '../../contracts/error.ts';
import type { AnyGrpcMethod } from '../../contracts/grpc-wire/service.ts';
import {
  SubtleDecryptRequestSchema,
  SubtleDecryptResponseSchema,
  SubtleEncryptRequestSchema,
  SubtleEncryptResponseSchema,
  SubtleGetKeyRequestSchema,
  SubtleGetKeyResponseSchema,
  SubtleSignRequestSchema,
  SubtleSignResponseSchema,
  SubtleUnwrapKeyRequestSchema,
  SubtleUnwrapKeyResponseSchema,
  SubtleVerifyRequestSchema,
  SubtleVerifyResponseSchema,
  SubtleWrapKeyRequestSchema,
  SubtleWrapKeyResponseSchema,
} from '../../generated/dapr/proto/runtime/v1/crypto_pb.ts';
import { type Operations, unary } from './method.ts';

type SubtleKeys =
  | 'subtleGetKey'
  | 'subtleEncrypt'
  | 'subtleDecrypt'
  | 'subtleWrapKey'
  | 'subtleUnwrapKey'
  | 'subtleSign'
  | 'subtleVerify';

/** The subtle operations, all refused. */
export function subtleOperations(): Operations<SubtleKeys> {
  return {
    subtleGetKey: refusing(SubtleGetKeyRequestSchema, SubtleGetKeyResponseSchema),
    subtleEncrypt: refusing(SubtleEncryptRequestSchema, SubtleEncryptResponseSchema),
    subtleDecrypt: refusing(SubtleDecryptRequestSchema, SubtleDecryptResponseSchema),
    subtleWrapKey: refusing(SubtleWrapKeyRequestSchema, SubtleWrapKeyResponseSchema),
    subtleUnwrapKey: refusing(SubtleUnwrapKeyRequestSchema, SubtleUnwrapKeyResponseSchema),
    subtleSign: refusing(SubtleSignRequestSchema, SubtleSignResponseSchema),
    subtleVerify: refusing(SubtleVerifyRequestSchema, SubtleVerifyResponseSchema),
  };
}

function refusing(request: DescMessage, answer: DescMessage): AnyGrpcMethod {
  return unary(request, answer, () => Promise.reject(runtimeError('unimplemented')));
}

/** Secrets over gRPC (gRPC reference, section 2.5). */

import {
  GetBulkSecretRequestSchema,
  GetBulkSecretResponseSchema,
  GetSecretRequestSchema,
  GetSecretResponseSchema,
} from '../../generated/dapr/proto/runtime/v1/secret_pb.ts';
import { type Operations, type ServiceDeps, unary } from './method.ts';

/** The secret operations. */
export function secretOperations({
  blocks: { secrets },
}: ServiceDeps): Operations<'secretGet' | 'secretBulkGet'> {
  return {
    secretGet: unary(GetSecretRequestSchema, GetSecretResponseSchema, async (request, call) => ({
      data: { ...(await secrets.get(request.storeName, request.key, request.metadata, call)) },
    })),
    secretBulkGet: unary(GetBulkSecretRequestSchema, GetBulkSecretResponseSchema, async (request, call) => {
      const found = (await secrets.bulkGet(request.storeName, request.metadata, call)) ?? {};
      return {
        data: Object.fromEntries(
          Object.entries(found).map(([name, values]) => [name, { secrets: { ...values } }]),
        ),
      };
    }),
  };
}

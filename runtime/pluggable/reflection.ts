/** Asks a gRPC server which services it has: server reflection v1alpha, as daprd does, then v1 for servers without it. */

import { create, type MessageShape } from '@bufbuild/protobuf';
import { GrpcCode } from '../contracts/grpc-code.ts';
import { GrpcStatusError } from '../contracts/grpc-wire/status.ts';
import {
  ServerReflectionRequestSchema,
  ServerReflectionResponseSchema,
} from '../generated/grpc/reflection/v1/reflection_pb.ts';
import type { GrpcClient } from '../grpc-client/client.ts';
import { codec } from '../grpc-client/codec.ts';

/** Both versions have the same messages. */
const VERSIONS = ['v1alpha', 'v1'];
const REQUEST = codec(ServerReflectionRequestSchema);
const RESPONSE = codec(ServerReflectionResponseSchema);

/** Full names of the services; rejects with a `GrpcStatusError` when the server cannot be asked. */
export async function listServices(client: GrpcClient, signal: AbortSignal): Promise<ReadonlySet<string>> {
  let refusal: unknown;
  for (const version of VERSIONS) {
    try {
      return await ask(client, version, signal);
    } catch (error) {
      if (!(error instanceof GrpcStatusError) || error.code !== GrpcCode.Unimplemented) throw error;
      refusal ??= error;
    }
  }
  throw refusal;
}

async function ask(client: GrpcClient, version: string, signal: AbortSignal): Promise<ReadonlySet<string>> {
  const path = `/grpc.reflection.${version}.ServerReflection/ServerReflectionInfo`;
  const stream = await client.bidi(path, { signal });
  const request = create(ServerReflectionRequestSchema, {
    messageRequest: { case: 'listServices', value: '*' },
  });
  void stream.send(REQUEST.encode(request));
  // Ends the call as soon as the answer is there; a server may keep the stream open for more questions.
  for await (const bytes of stream.messages) return namesOf(RESPONSE.decode(bytes));
  throw new GrpcStatusError(GrpcCode.Internal, 'server reflection ended without an answer');
}

function namesOf({
  messageResponse,
}: MessageShape<typeof ServerReflectionResponseSchema>): ReadonlySet<string> {
  if (messageResponse.case === 'errorResponse') {
    const { errorCode, errorMessage } = messageResponse.value;
    throw new GrpcStatusError(errorCode, errorMessage);
  }
  const services = messageResponse.case === 'listServicesResponse' ? messageResponse.value.service : [];
  return new Set(services.map(({ name }) => name));
}

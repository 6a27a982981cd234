/** Unary calls of the Dapr service, and how their ends read in the gRPC column of a table. */

import {
  create,
  createRegistry,
  type DescMessage,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
  toJson,
} from '@bufbuild/protobuf';
import { anyUnpack, EmptySchema } from '@bufbuild/protobuf/wkt';
import type { Metadata, ServiceError } from '@grpc/grpc-js';
import { grpcCodeName } from '../../../runtime/contracts/grpc-code.ts';
import {
  BadRequestSchema,
  ErrorInfoSchema,
  HelpSchema,
  ResourceInfoSchema,
} from '../../../runtime/generated/google/rpc/error_details_pb.ts';
import { StatusSchema } from '../../../runtime/generated/google/rpc/status_pb.ts';
import { type DecodedAnswer, daprCall } from '../../support/dapr-calls.ts';
import { daprPath } from '../../support/fake-blocks.ts';
import type { TestServer } from '../../support/grpc-harness.ts';
import { type GrpcOutcome, withValue } from './cases.ts';

const DETAILS = createRegistry(BadRequestSchema, ErrorInfoSchema, HelpSchema, ResourceInfoSchema);

/** Calls `method`; `value` makes the common shape out of the answer. */
export async function grpcOutcome<I extends DescMessage, O extends DescMessage>(
  server: TestServer,
  method: string,
  [input, output]: readonly [I, O],
  request: MessageInitShape<I>,
  value: (message: MessageShape<O>, answer: DecodedAnswer<O>) => unknown = () => undefined,
  metadata: Record<string, string> = {},
): Promise<GrpcOutcome> {
  const answer = await daprCall(server, method, input, output, request, metadata);
  if (answer.message !== undefined)
    return withValue({ code: grpcCodeName(answer.code) }, await value(answer.message, answer));
  return failureOf(answer.code, answer.text, answer.trailers);
}

/** The same for methods that answer `google.protobuf.Empty`. */
export function grpcCommand<I extends DescMessage>(
  server: TestServer,
  method: string,
  input: I,
  request: MessageInitShape<I>,
  value: () => unknown = () => undefined,
  metadata: Record<string, string> = {},
): Promise<GrpcOutcome> {
  return grpcOutcome(server, method, [input, EmptySchema], request, value, metadata);
}

/** The first message of a stream of answers, after which the call is cancelled; or how it failed before one. */
export function grpcStreamOutcome<I extends DescMessage, O extends DescMessage>(
  { client }: TestServer,
  method: string,
  [input, output]: readonly [I, O],
  request: MessageInitShape<I>,
  value: (message: MessageShape<O>) => unknown,
): Promise<GrpcOutcome> {
  const call = client.makeServerStreamRequest(
    daprPath(method),
    (message: MessageShape<I>) => Buffer.from(toBinary(input, message)),
    (bytes) => fromBinary(output, bytes),
    create(input, request),
  );
  return new Promise((resolve) => {
    call.on('data', (message: MessageShape<O>) => {
      call.cancel();
      resolve({ code: 'OK', value: value(message) });
    });
    call.on('error', ({ code, details, metadata }: ServiceError) =>
      resolve(failureOf(code, details, metadata)),
    );
  });
}

/** Text of bytes that are one. */
export function utf8(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('utf8');
}

function failureOf(code: number, message: string, trailers: Metadata): GrpcOutcome {
  const details = detailsOf(trailers.get('grpc-status-details-bin')[0]);
  const reason = details.find((detail) => 'reason' in detail)?.['reason'];
  const failure = { code: grpcCodeName(code), message, details };
  return reason === undefined ? failure : { ...failure, reason: String(reason) };
}

/** Details as Dapr writes them in an HTTP error body. */
function detailsOf(packed: string | Buffer | undefined): readonly Readonly<Record<string, unknown>>[] {
  if (packed === undefined) return [];
  return fromBinary(StatusSchema, Buffer.from(packed)).details.map((detail) => {
    const message = anyUnpack(detail, DETAILS);
    const schema = message && DETAILS.getMessage(message.$typeName);
    if (message === undefined || schema === undefined) throw new Error(`unknown detail ${detail.typeUrl}`);
    const json = toJson(schema, message, { useProtoFieldName: true });
    return { '@type': detail.typeUrl, ...(json as object) };
  });
}

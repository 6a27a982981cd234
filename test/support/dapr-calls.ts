/** Calls of the Dapr service with messages as plain objects. */

import {
  create,
  type DescMessage,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from '@bufbuild/protobuf';
import { daprPath } from './fake-blocks.ts';
import { type Answer, openStream, type TestServer, unaryCall } from './grpc-harness.ts';

export interface DecodedAnswer<O extends DescMessage> extends Omit<Answer, 'message'> {
  readonly message: MessageShape<O> | undefined;
}

/** A unary call; never rejects. */
export async function daprCall<I extends DescMessage, O extends DescMessage>(
  { client }: TestServer,
  method: string,
  input: I,
  output: O,
  request: MessageInitShape<I>,
  metadata: Record<string, string> = {},
): Promise<DecodedAnswer<O>> {
  const answer = await unaryCall(client, daprPath(method), toBinary(input, create(input, request)), {
    metadata,
  });
  return {
    ...answer,
    message: answer.message === undefined ? undefined : fromBinary(output, answer.message),
  };
}

export interface DaprStream<I extends DescMessage, O extends DescMessage> {
  send(message: MessageInitShape<I>): void;
  next(): Promise<MessageShape<O>>;
  end(): void;
  cancel(): void;
  readonly status: Promise<{ code: number; text: string }>;
}

/** A stream both ways, or of answers alone. */
export function daprStream<I extends DescMessage, O extends DescMessage>(
  { client }: TestServer,
  method: string,
  input: I,
  output: O,
): DaprStream<I, O> {
  const { call, next, status } = openStream(client, daprPath(method));
  return {
    send: (message) => void call.write(toBinary(input, create(input, message))),
    next: async () => fromBinary(output, await next()),
    end: () => void call.end(),
    cancel: () => call.cancel(),
    status,
  };
}

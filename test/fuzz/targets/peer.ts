/** The internal gRPC port without sockets: messages of calls between sidecars, drawn, damaged or of another type. */

import { bytesBody, readBody } from '../../../runtime/contracts/body.ts';
import type { AnyGrpcMethod, GrpcCall } from '../../../runtime/contracts/grpc-wire/service.ts';
import { GrpcStatusError } from '../../../runtime/contracts/grpc-wire/status.ts';
import {
  InternalInvokeRequestSchema,
  InternalInvokeRequestStreamSchema,
  InternalInvokeResponseSchema,
  InternalInvokeResponseStreamSchema,
} from '../../../runtime/generated/dapr/proto/internals/v1/service_invocation_pb.ts';
import { toGrpcStatus } from '../../../runtime/grpc/status.ts';
import { createPeerService } from '../../../runtime/peer/peer-server.ts';
import {
  requestChunks,
  responseChunks,
  wholeRequests,
  wholeResponses,
} from '../../../runtime/peer/stream-codec.ts';
import { recordingLogger } from '../../support/recording-logger.ts';
import type { Draw } from '../support/draw.ts';
import { messageBytes } from '../support/messages.ts';
import { ensure, type Fuzzing, type FuzzTarget } from '../support/target.ts';

const MAX_BYTES = 64 * 1024;

const CODECS = [
  { codec: wholeRequests, desc: InternalInvokeRequestSchema },
  { codec: requestChunks, desc: InternalInvokeRequestStreamSchema },
  { codec: wholeResponses, desc: InternalInvokeResponseSchema },
  { codec: responseChunks, desc: InternalInvokeResponseStreamSchema },
] as const;

/** What is read must be writable, and be read as the same again. */
function roundTrip(draw: Draw): void {
  const { codec, desc } = draw.pick(CODECS);
  const bytes = messageBytes(draw, draw.chance(0.95) ? desc : draw.pick(CODECS).desc);
  let read: unknown;
  try {
    read = codec.decode(bytes);
  } catch (error) {
    ensure(!/call stack/.test(String(error)), () => 'decoding recurses');
    return;
  }
  const written = codec.encode(read as never);
  const again = codec.encode(codec.decode(written) as never);
  ensure(
    Buffer.compare(written, again) === 0,
    () => `read in two ways: ${Buffer.from(bytes).toString('hex')}`,
  );
}

const lines: { message: string; fields: Record<string, unknown> }[] = [];
const log = recordingLogger(lines as never);
const service = createPeerService({
  appId: 'fuzz',
  invoke: {
    invokeLocal: async ({ body, headers }) => {
      const bytes = await readBody(body, MAX_BYTES);
      return { status: 200, grpc: false, headers, contentType: 'text/plain', body: bytesBody(bytes) };
    },
  },
});

async function serve(method: AnyGrpcMethod, messages: readonly Uint8Array[], call: GrpcCall): Promise<void> {
  const decode = (bytes: Uint8Array | undefined): unknown => {
    try {
      return bytes === undefined ? undefined : method.request.decode(bytes);
    } catch (cause) {
      throw new GrpcStatusError(13, 'grpc: error unmarshalling request', { cause });
    }
  };
  const encode = (message: unknown): undefined => void method.response.encode(message);
  if (method.kind === 'unary') encode(await method.handle(decode(messages[0]), call));
  else if (method.kind === 'duplex') {
    let next = 0;
    const receive = async (): Promise<unknown> => decode(messages[next++]);
    await method.handle({ receive, send: encode, finishWith: encode }, call);
  }
}

async function calls(draw: Draw): Promise<void> {
  const name = draw.pick([
    'CallLocal',
    'CallLocalStream',
    'CallLocalStream',
    'CallActor',
    'CallActorReminder',
  ]);
  const method = service.methods[name];
  if (method === undefined) throw new Error(`there is no ${name}`);
  const desc = name === 'CallLocalStream' ? InternalInvokeRequestStreamSchema : InternalInvokeRequestSchema;
  const messages = Array.from({ length: draw.int(1, 4) }, () => messageBytes(draw, desc));
  const span = { context: {}, child: () => span, setAttribute: () => {}, end: () => {} };
  const call = {
    signal: new AbortController().signal,
    protocol: 'internal',
    span,
    log,
    metadata: [],
    peer: '',
  } as unknown as GrpcCall;
  try {
    await serve(method, messages, call);
  } catch (error) {
    toGrpcStatus(error, log);
  }
  const fault = lines.splice(0).find(({ message }) => message.startsWith('unexpected failure'));
  ensure(
    fault === undefined,
    () =>
      `unforeseen: ${(fault?.fields['error'] as Error)?.stack} in ${name} ${messages.map((bytes) => Buffer.from(bytes).toString('hex').slice(0, 400)).join(' ')}`,
  );
}

const open = async (): Promise<Fuzzing> => ({
  one: (draw) => (draw.chance(0.5) ? roundTrip(draw) : calls(draw)),
});

export const peer: FuzzTarget = { name: 'peer', inputs: 6_000, open };

/**
 * The callee's half of Dapr's internal protocol (gRPC reference, section 5): `CallLocal` and `CallLocalStream` end in
 * the invoke block of the app they name. Bodies stream both ways; a short one is handed over whole.
 */

import { create } from '@bufbuild/protobuf';
import { EmptySchema } from '@bufbuild/protobuf/wkt';
import type { Body, InvokeResponse } from '../contracts/app-channel.ts';
import type { InvokeBlock } from '../contracts/blocks.ts';
import { errorText } from '../contracts/error.ts';
import { GrpcCode } from '../contracts/grpc-code.ts';
import {
  bidiMethod,
  type GrpcCall,
  type GrpcService,
  serverStreamMethod,
  unaryMethod,
} from '../contracts/grpc-wire/service.ts';
import { GrpcStatusError } from '../contracts/grpc-wire/status.ts';
import { PeerError } from '../contracts/peer.ts';
import { ReminderSchema } from '../generated/dapr/proto/internals/v1/reminders_pb.ts';
import {
  type InternalInvokeRequest,
  InternalInvokeRequestSchema,
  type InternalInvokeRequestStream,
  InternalInvokeRequestStreamSchema,
  InternalInvokeResponseSchema,
  type InternalInvokeResponseStream,
  InternalInvokeResponseStreamSchema,
} from '../generated/dapr/proto/internals/v1/service_invocation_pb.ts';
import { codec } from '../grpc-client/codec.ts';
import { bytesBody, readBody, streamBody } from '../http-client/body.ts';
import { CHUNK_BYTES, createSequence, cut, nextTurn } from './chunks.ts';
import { announcedLength, fromWireRequest } from './wire-request.ts';
import { dataAnswer, leadingAnswer, toWireResponse } from './wire-response.ts';

export interface PeerServerOptions {
  /** The block of the app that this internal port belongs to. */
  readonly invoke: Pick<InvokeBlock, 'invokeLocal'>;
}

type RequestReader = AsyncIterator<InternalInvokeRequestStream>;

/** Makes the service for the internal gRPC server. */
export function createPeerService({ invoke }: PeerServerOptions): GrpcService {
  const callApp = async (
    message: InternalInvokeRequest,
    body: Body,
    call: GrpcCall,
  ): Promise<InvokeResponse> => {
    const { request, caller } = parsed(message, body);
    try {
      return await invoke.invokeLocal(request, caller, call);
    } catch (cause) {
      throw cause instanceof PeerError
        ? new GrpcStatusError(cause.grpcCode, cause.message, { cause })
        : cause;
    }
  };

  async function* callLocalStream(
    requests: AsyncIterable<InternalInvokeRequestStream>,
    call: GrpcCall,
  ): AsyncGenerator<InternalInvokeResponseStream> {
    const reader = requests[Symbol.asyncIterator]();
    const first = await reader.next();
    const head = first.done === true ? undefined : first.value;
    if (head?.request?.message === undefined || Object.keys(head.request.metadata).length === 0) {
      throw invalid('request does not contain the required fields in the leading chunk');
    }
    yield* answerChunks(await callApp(head.request, await requestBody(head, reader), call));
  }

  const noActors = (): never => {
    throw new GrpcStatusError(GrpcCode.Unimplemented, 'actors are not hosted here');
  };
  const request = codec(InternalInvokeRequestSchema);
  const response = codec(InternalInvokeResponseSchema);
  return {
    name: 'dapr.proto.internals.v1.ServiceInvocation',
    methods: {
      CallLocal: unaryMethod(request, response, async (message, call) => {
        const answer = await callApp(
          message,
          bytesBody(message.message?.data?.value ?? new Uint8Array(0)),
          call,
        );
        return create(InternalInvokeResponseSchema, toWireResponse(answer, await readBody(answer.body)));
      }),
      CallLocalStream: bidiMethod(
        codec(InternalInvokeRequestStreamSchema),
        codec(InternalInvokeResponseStreamSchema),
        callLocalStream,
      ),
      CallActor: unaryMethod(request, response, async () => noActors()),
      CallActorStream: serverStreamMethod(request, response, () => noActors()),
      CallActorReminder: unaryMethod(codec(ReminderSchema), codec(EmptySchema), async () => noActors()),
    },
  };
}

function parsed(message: InternalInvokeRequest, body: Body): ReturnType<typeof fromWireRequest> {
  if (message.message === undefined) throw invalid('field Message is nil');
  try {
    return fromWireRequest(message, body);
  } catch (cause) {
    throw new GrpcStatusError(GrpcCode.InvalidArgument, errorText(cause), { cause });
  }
}

function invalid(text: string): GrpcStatusError {
  return new GrpcStatusError(GrpcCode.InvalidArgument, `parsing InternalInvokeRequest error: ${text}`);
}

/** Whole when everything is here already: the announced length, or the end of the caller's half of the stream. */
async function requestBody(head: InternalInvokeRequestStream, reader: RequestReader): Promise<Body> {
  const sequence = createSequence();
  const start = sequence.take(head.payload);
  const length = head.request === undefined ? undefined : announcedLength(head.request);
  if (length !== undefined && length === (start?.byteLength ?? 0))
    return bytesBody(start ?? new Uint8Array(0));
  const second = reader.next();
  second.catch(() => {});
  const settled = await Promise.race([second, nextTurn()]);
  if (settled?.done === true) return bytesBody(start ?? new Uint8Array(0));
  return streamBody(readChunks(start, second, reader, sequence), length);
}

async function* readChunks(
  start: Uint8Array | undefined,
  second: Promise<IteratorResult<InternalInvokeRequestStream>>,
  reader: RequestReader,
  sequence: ReturnType<typeof createSequence>,
): AsyncGenerator<Uint8Array> {
  if (start !== undefined) yield start;
  let next = await second;
  while (next.done !== true) {
    if (next.value.request !== undefined) throw new Error('request metadata found in non-leading chunk');
    const data = sequence.take(next.value.payload);
    if (data !== undefined) yield data;
    next = await reader.next();
  }
}

async function* answerChunks(response: InvokeResponse): AsyncGenerator<InternalInvokeResponseStream> {
  const { bytes } = response.body;
  if (bytes !== undefined) {
    yield leadingAnswer(response, bytes.subarray(0, CHUNK_BYTES));
    let seq = 1;
    for (const part of cut(bytes, CHUNK_BYTES)) yield dataAnswer(part, seq++);
    return;
  }
  yield leadingAnswer(response, undefined);
  let seq = 0;
  for await (const chunk of response.body.stream()) {
    for (const part of cut(chunk)) yield dataAnswer(part, seq++);
  }
}

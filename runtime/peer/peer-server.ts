/**
 * The callee's half of Dapr's internal protocol (gRPC reference, section 5): `CallLocal` and `CallLocalStream` end in
 * the invoke block of the app they name. Bodies stream both ways; a short one is handed over whole.
 */

import { EmptySchema } from '@bufbuild/protobuf/wkt';
import { withCaller } from '../building-blocks/invoke/identity-headers.ts';
import type { Body, InvokeResponse } from '../contracts/app-channel.ts';
import type { InvokeBlock } from '../contracts/blocks.ts';
import { bytesBody, readBody, streamBody } from '../contracts/body.ts';
import { errorText } from '../contracts/error.ts';
import { GrpcCode } from '../contracts/grpc-code.ts';
import {
  type DuplexStream,
  duplexMethod,
  type GrpcCall,
  type GrpcService,
  serverStreamMethod,
  unaryMethod,
} from '../contracts/grpc-wire/service.ts';
import { GrpcStatusError } from '../contracts/grpc-wire/status.ts';
import { PeerError } from '../contracts/peer.ts';
import type { Span } from '../contracts/trace.ts';
import { ReminderSchema } from '../generated/dapr/proto/internals/v1/reminders_pb.ts';
import { codec } from '../grpc-client/codec.ts';
import { CHUNK_BYTES, createSequence, cut, nextTurn } from './chunks.ts';
import {
  type RequestChunk,
  type ResponseChunk,
  requestChunks,
  responseChunks,
  type WireRequest,
  wholeRequests,
  wholeResponses,
} from './stream-codec.ts';
import { announcedLength, fromWireRequest, rarelyHasBody } from './wire-request.ts';
import { dataAnswer, leadingAnswer, toWireResponse } from './wire-response.ts';

export interface PeerServerOptions {
  /** The block of the app that this internal port belongs to. */
  readonly invoke: Pick<InvokeBlock, 'invokeLocal'>;
  /** Its id, for the names of spans. */
  readonly appId?: string;
}

type CallStream = DuplexStream<RequestChunk, ResponseChunk>;

/** Makes the service for the internal gRPC server. */
export function createPeerService({ invoke, appId = '' }: PeerServerOptions): GrpcService {
  const callApp = async (message: WireRequest, body: Body, call: GrpcCall): Promise<InvokeResponse> => {
    const { request, caller } = certified(parsed(message, body), call);
    if (call.span.recording === true) describe(call.span, appId, message.message?.method ?? '');
    try {
      return await invoke.invokeLocal(request, caller, call);
    } catch (cause) {
      throw cause instanceof PeerError
        ? new GrpcStatusError(cause.grpcCode, cause.message, { cause })
        : cause;
    }
  };

  const callLocalStream = async (stream: CallStream, call: GrpcCall): Promise<void> => {
    const head = await stream.receive();
    if (head?.request?.message === undefined || isEmpty(head.request.metadata)) {
      throw invalid('request does not contain the required fields in the leading chunk');
    }
    return answer(
      stream,
      await callApp(head.request, await requestBody(head.request, head.payload, stream), call),
    );
  };

  const noActors = (): never => {
    throw new GrpcStatusError(GrpcCode.Unimplemented, 'actors are not hosted here');
  };
  return {
    name: 'dapr.proto.internals.v1.ServiceInvocation',
    methods: {
      CallLocal: unaryMethod(wholeRequests, wholeResponses, async (message, call) => {
        const answer = await callApp(
          message,
          bytesBody(message.message?.data?.value ?? new Uint8Array(0)),
          call,
        );
        return toWireResponse(answer, await readBody(answer.body));
      }),
      CallLocalStream: duplexMethod(requestChunks, responseChunks, callLocalStream),
      CallActor: unaryMethod(wholeRequests, wholeResponses, async () => noActors()),
      CallActorStream: serverStreamMethod(wholeRequests, wholeResponses, () => noActors()),
      CallActorReminder: unaryMethod(codec(ReminderSchema), codec(EmptySchema), async () => noActors()),
    },
  };
}

/** Name and marks of a call's span, as Dapr gives them. */
function describe(span: Span, appId: string, method: string): void {
  span.rename?.(`CallLocal/${appId}/${method}`);
  span.setAttribute('rpc.service', 'ServiceInvocation');
  span.setAttribute('dapr.invoke_method', method);
}

type Parsed = ReturnType<typeof fromWireRequest>;

/** Under mutual TLS the certificate says who calls, and the app hears of nobody else. */
function certified(given: Parsed, { callerId }: GrpcCall): Parsed {
  if (callerId === undefined) return given;
  const request = { ...given.request, headers: withCaller(given.request.headers, callerId) };
  return { request, caller: callerId.workload ?? { appId: '', namespace: '' } };
}

function parsed(message: WireRequest, body: Body): Parsed {
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
async function requestBody(
  request: WireRequest,
  payload: RequestChunk['payload'],
  stream: CallStream,
): Promise<Body> {
  const sequence = createSequence();
  const start = taken(sequence, payload);
  const length = announcedLength(request);
  if (length !== undefined && length === (start?.byteLength ?? 0)) return bytesBody(start ?? NOTHING);
  const second = stream.receive();
  second.catch(() => {});
  // A GET whose end is a moment behind its head must not reach the app as a chunked one.
  const waits = length === undefined && start === undefined && rarelyHasBody(request);
  const settled = await (waits ? second : Promise.race([second, nextTurn(PENDING)]));
  if (settled === undefined) return waits ? NO_BODY : bytesBody(start ?? NOTHING);
  return streamBody(readChunks(start, second, stream, sequence), length);
}

type Sequence = ReturnType<typeof createSequence>;

/** The caller does not keep to the protocol. */
function misused(text: string, cause?: unknown): GrpcStatusError {
  return new GrpcStatusError(GrpcCode.Internal, text, { cause });
}

function taken(sequence: Sequence, payload: RequestChunk['payload']): Uint8Array | undefined {
  try {
    return sequence.take(payload);
  } catch (cause) {
    throw misused(errorText(cause), cause);
  }
}

/** Stands for a message that has not come yet. */
const PENDING = Symbol('pending');

async function* readChunks(
  start: Uint8Array | undefined,
  second: Promise<RequestChunk | undefined>,
  stream: CallStream,
  sequence: Sequence,
): AsyncGenerator<Uint8Array> {
  if (start !== undefined) yield start;
  for (let next = await second; next !== undefined; next = await stream.receive()) {
    if (next.request !== undefined) throw misused('request metadata found in non-leading chunk');
    const data = taken(sequence, next.payload);
    if (data !== undefined) yield data;
  }
}

/** A short answer leaves together with the end of the call. */
async function answer(stream: CallStream, response: InvokeResponse): Promise<void> {
  const { bytes } = response.body;
  if (bytes !== undefined && bytes.byteLength <= CHUNK_BYTES) {
    stream.finishWith(leadingAnswer(response, bytes));
    return;
  }
  await stream.send(leadingAnswer(response, bytes?.subarray(0, CHUNK_BYTES)));
  let seq = bytes === undefined ? 0 : 1;
  if (bytes !== undefined) {
    for (const part of cut(bytes, CHUNK_BYTES)) await stream.send(dataAnswer(part, seq++));
    return;
  }
  for await (const chunk of response.body.stream()) {
    for (const part of cut(chunk)) await stream.send(dataAnswer(part, seq++));
  }
}

const NOTHING = new Uint8Array(0);
/** No bytes, and no permission to send the request once more: that is for the calling side to decide. */
const NO_BODY: Body = streamBody({ async *[Symbol.asyncIterator]() {} }, 0);

function isEmpty(map: object): boolean {
  for (const _ in map) return false;
  return true;
}

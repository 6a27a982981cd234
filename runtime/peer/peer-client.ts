/**
 * Calls to other sidecars over Dapr's internal protocol (gRPC reference, section 5): `CallLocalStream`, and `CallLocal`
 * where the far side is older. A short body travels in the same message as its request, a long one follows in chunks;
 * answers are handed out as soon as their head is there.
 */

import type { Body, HeaderList, InvokeRequest, InvokeResponse } from '../contracts/app-channel.ts';
import { bytesBody, streamBody } from '../contracts/body.ts';
import type { CallContext } from '../contracts/call-context.ts';
import { GrpcCode } from '../contracts/grpc-code.ts';
import { GrpcStatusError } from '../contracts/grpc-wire/status.ts';
import type { Logger } from '../contracts/logger.ts';
import { PeerError, type Peers, PeerUnavailableError } from '../contracts/peer.ts';
import { ZERO_TRACEPARENT } from '../contracts/trace.ts';
import type { GrpcStream } from '../grpc-client/call.ts';
import { callUnary, type GrpcClient, type GrpcClientPool } from '../grpc-client/client.ts';
import { statusDetails } from '../grpc-client/status-details.ts';
import { metadataOfTrace } from '../grpc-client/trace-metadata.ts';
import { CHUNK_BYTES, createSequence, cut, nextTurn } from './chunks.ts';
import {
  type ResponseChunk,
  requestChunks,
  responseChunks,
  wholeRequests,
  wholeResponses,
} from './stream-codec.ts';
import { dataChunk, leadingChunk, toWireRequest, type WireTarget } from './wire-request.ts';
import { answeredLength, fromWireResponse } from './wire-response.ts';

export interface PeersOptions {
  /** Connections by address; shared with proxied calls. */
  readonly clients: GrpcClientPool;
  readonly log: Logger;
}

const SERVICE = '/dapr.proto.internals.v1.ServiceInvocation';
const STREAM_PATH = `${SERVICE}/CallLocalStream`;
const UNARY = { path: `${SERVICE}/CallLocal`, request: wholeRequests, response: wholeResponses };

/** Makes the client side of sidecar-to-sidecar calls. */
export function createPeers(options: PeersOptions): Peers {
  const { clients } = options;
  const unary = async (
    client: GrpcClient,
    appId: string,
    request: InvokeRequest,
    call: CallContext,
  ): Promise<InvokeResponse> => {
    options.log.warn(
      `App ${appId} does not support streaming-based service invocation (most likely because it's using an older version of Dapr); falling back to unary calls`,
    );
    const message = toWireRequest(request, { appId, http: call.protocol === 'http' }, request.body.bytes);
    const answer = await callUnary(client, UNARY, message, callOptions(call));
    return fromWireResponse(answer.message, bytesBody(answer.message.message?.data?.value ?? NOTHING));
  };

  /** What a failed stream means; an older callee is called again in one message. */
  const recover = async (
    cause: unknown,
    client: GrpcClient,
    appId: string,
    request: InvokeRequest,
    call: CallContext,
  ): Promise<InvokeResponse> => {
    if (!(cause instanceof GrpcStatusError)) throw cause;
    if (cause.code !== GrpcCode.Unimplemented) throw peerError(cause);
    if (request.body.bytes === undefined) {
      throw new Error(
        `target app '${appId}' is running a version of Dapr that does not support streaming-based service invocation`,
      );
    }
    return unary(client, appId, request, call).catch((again: unknown) => {
      throw again instanceof GrpcStatusError ? peerError(again) : again;
    });
  };

  return {
    async call(address, appId, request, call, namespace = 'default') {
      const client = clients.client(address, { namespace, appId });
      let upload: Upload | undefined;
      try {
        const stream = await client.bidi(STREAM_PATH, streamOptions(request, call));
        upload = startUpload(stream, request, { appId, http: call.protocol === 'http' });
        return await receive(stream, upload);
      } catch (cause) {
        if (call.signal.aborted) throw call.signal.reason;
        return recover(upload?.failure ?? cause, client, appId, request, call);
      }
    },
    close: () => clients.close(),
  };
}

function callOptions(call: CallContext): { readonly metadata: HeaderList; readonly signal: AbortSignal } {
  const trace = call.span.context;
  const traced = trace.traceparent !== undefined && trace.traceparent !== ZERO_TRACEPARENT;
  return { metadata: traced ? metadataOfTrace(trace) : NO_METADATA, signal: call.signal };
}

/** A traced stream also says whose call it carries, which a daprd there puts into its span. */
function streamOptions(request: InvokeRequest, call: CallContext): ReturnType<typeof callOptions> {
  const { metadata, signal } = callOptions(call);
  if (metadata.length === 0) return { metadata, signal };
  return { metadata: [...metadata, ['__dapr_calllocalstream_method', request.method]], signal };
}

const NO_METADATA: HeaderList = [];
const NOTHING = new Uint8Array(0);

/** The body on its way; `failure` is set when it could not be read to its end. */
interface Upload {
  failure?: unknown;
}

function startUpload(stream: GrpcStream, request: InvokeRequest, target: WireTarget): Upload {
  const upload: Upload = {};
  const { bytes } = request.body;
  if (bytes !== undefined && bytes.byteLength <= CHUNK_BYTES) {
    stream.end(requestChunks.encode(leadingChunk(request, target, bytes)));
    return upload;
  }
  const work =
    bytes === undefined ? sendStream(stream, request, target) : sendBytes(stream, request, target, bytes);
  work.catch((cause: unknown) => {
    upload.failure = cause;
    stream.cancel();
  });
  return upload;
}

async function sendBytes(
  stream: GrpcStream,
  request: InvokeRequest,
  target: WireTarget,
  bytes: Uint8Array,
): Promise<void> {
  await stream.send(requestChunks.encode(leadingChunk(request, target, bytes.subarray(0, CHUNK_BYTES))));
  let seq = 1;
  for (const part of cut(bytes, CHUNK_BYTES)) {
    await stream.send(requestChunks.encode(dataChunk(part, seq)));
    seq += 1;
  }
  stream.end();
}

/** The head goes out with the first bytes when they are there already, and does not wait for slow ones. */
async function sendStream(stream: GrpcStream, request: InvokeRequest, target: WireTarget): Promise<void> {
  const reader = request.body.stream()[Symbol.asyncIterator]();
  const first = reader.next();
  const ready = await Promise.race([first, nextTurn()]);
  let seq = 0;
  let rest: Uint8Array | undefined;
  if (ready === undefined || ready.done === true) {
    await stream.send(requestChunks.encode(leadingChunk(request, target, undefined)));
  } else {
    await stream.send(
      requestChunks.encode(leadingChunk(request, target, ready.value.subarray(0, CHUNK_BYTES))),
    );
    seq = ready.value.byteLength > 0 ? 1 : 0;
    rest = ready.value.subarray(CHUNK_BYTES);
  }
  const send = async (bytes: Uint8Array): Promise<void> => {
    for (const part of cut(bytes)) {
      await stream.send(requestChunks.encode(dataChunk(part, seq)));
      seq += 1;
    }
  };
  if (rest !== undefined) await send(rest);
  let next = ready === undefined ? await first : ready.done === true ? ready : await reader.next();
  while (next.done !== true) {
    await send(next.value);
    next = await reader.next();
  }
  stream.end();
}

async function receive(stream: GrpcStream, upload: Upload): Promise<InvokeResponse> {
  const first = await stream.next();
  const response = first === undefined ? undefined : responseChunks.decode(first);
  if (response?.response?.status === undefined) {
    stream.cancel();
    throw new Error('response does not contain the required fields in the leading chunk');
  }
  const sequence = createSequence();
  const start = sequence.take(response.payload);
  if (answeredLength(response.response) === (start?.byteLength ?? 0)) {
    return fromWireResponse(response.response, bytesBody(start ?? NOTHING));
  }
  const reader = stream.messages[Symbol.asyncIterator]();
  const second = reader.next();
  second.catch(() => {});
  return fromWireResponse(response.response, await responseBody(start, second, reader, sequence, upload));
}

type Reader = AsyncIterator<Uint8Array>;
type Sequence = ReturnType<typeof createSequence>;

/** A body that is here already is handed out whole, so that a short answer costs its reader no stream. */
async function responseBody(
  start: Uint8Array | undefined,
  second: Promise<IteratorResult<Uint8Array>>,
  reader: Reader,
  sequence: Sequence,
  upload: Upload,
): Promise<Body> {
  const settled = await Promise.race([second, nextTurn()]);
  if (settled?.done === true) return bytesBody(start ?? NOTHING);
  return streamBody(readChunks(start, second, reader, sequence, upload));
}

async function* readChunks(
  start: Uint8Array | undefined,
  second: Promise<IteratorResult<Uint8Array>>,
  reader: Reader,
  sequence: Sequence,
  upload: Upload,
): AsyncGenerator<Uint8Array> {
  let ended = false;
  try {
    if (start !== undefined) yield start;
    let next = await second;
    while (next.done !== true) {
      const data = followingData(responseChunks.decode(next.value), sequence);
      if (data !== undefined) yield data;
      next = await reader.next();
    }
    ended = true;
  } catch (cause) {
    throw upload.failure ?? (cause instanceof GrpcStatusError ? peerError(cause) : cause);
  } finally {
    if (!ended) await reader.return?.();
  }
}

function followingData(chunk: ResponseChunk, sequence: Sequence): Uint8Array | undefined {
  const { response } = chunk;
  if (
    response !== undefined &&
    (response.status !== undefined ||
      response.message !== undefined ||
      Object.keys(response.headers).length > 0)
  ) {
    throw new Error('response metadata found in non-leading chunk');
  }
  return sequence.take(chunk.payload);
}

function peerError(cause: GrpcStatusError): Error {
  if (cause.code === GrpcCode.Unavailable) return new PeerUnavailableError(cause.message, { cause });
  return new PeerError(cause.code, cause.message, statusDetails(cause.details));
}

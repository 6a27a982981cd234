/**
 * Passing a call on: messages are opaque bytes both ways, each direction at the pace of its receiver. Only the first message of
 * an invocation is looked into, for who is called and who calls.
 */

import type { HeaderList } from '../contracts/app-channel.ts';
import { errorText } from '../contracts/error.ts';
import { GrpcCode } from '../contracts/grpc-code.ts';
import { GrpcStatusError } from '../contracts/grpc-wire/status.ts';
import type { GrpcStream } from '../grpc-client/call.ts';
import { requestChunks, type WireRequest, wholeRequests } from '../peer/stream-codec.ts';

/** A call on its way through, whichever side it came from. */
export interface ForwardedCall {
  readonly path: string;
  readonly metadata: HeaderList;
  readonly contentType: string;
  readonly messages: { next(): Promise<Uint8Array | undefined> };
  readonly signal: AbortSignal;
  readonly remainingMs: number | undefined;
  addHeaders(metadata: HeaderList): void;
  sendHeaders(): void;
  addTrailers(metadata: HeaderList): void;
  send(message: Uint8Array): Promise<void> | undefined;
}

const SERVICE = '/dapr.proto.internals.v1.ServiceInvocation/';
const STREAMED = `${SERVICE}CallLocalStream`;
const WHOLE = `${SERVICE}CallLocal`;

/** Dapr's own calls between sidecars, in contrast to the proxied calls of apps. */
export function isInternal(path: string): boolean {
  return path.startsWith(SERVICE);
}

export interface FirstMessage {
  readonly bytes: Uint8Array;
  readonly callee: string;
  /** Every caller that the message names: what its app made of the headers may be among them. */
  readonly callers: ReadonlySet<string>;
}

/** The first message of `CallLocal` or `CallLocalStream`. Rejects for the other methods: actors do not live behind a relay. */
export async function firstMessage(call: ForwardedCall): Promise<FirstMessage> {
  if (call.path !== STREAMED && call.path !== WHOLE) {
    const method = call.path.slice(SERVICE.length);
    throw new GrpcStatusError(GrpcCode.Unimplemented, `${method} does not pass through a relay`);
  }
  const bytes = await call.messages.next();
  if (bytes === undefined) throw invalid('the call has no message');
  const request = requestOf(call.path, bytes);
  if (request === undefined) throw invalid('the first message holds no request');
  const [callee = '', ...others] = valuesOf(request, 'destination-app-id');
  if (others.length > 0) throw invalid('destination-app-id has more than one value');
  return { bytes, callee, callers: valuesOf(request, 'dapr-caller-app-id') };
}

function requestOf(path: string, bytes: Uint8Array): WireRequest | undefined {
  try {
    return path === STREAMED ? requestChunks.decode(bytes).request : wholeRequests.decode(bytes);
  } catch (cause) {
    throw invalid(errorText(cause));
  }
}

function valuesOf(request: WireRequest, name: string): ReadonlySet<string> {
  const values = new Set<string>();
  for (const key in request.metadata) {
    if (key.toLowerCase() !== name) continue;
    for (const value of request.metadata[key]?.values ?? []) values.add(value);
  }
  return values;
}

function invalid(text: string): GrpcStatusError {
  return new GrpcStatusError(GrpcCode.InvalidArgument, `parsing InternalInvokeRequest error: ${text}`);
}

/** Pumps both directions until the callee has ended the call; rejects with its status. */
export async function forward(
  call: ForwardedCall,
  stream: GrpcStream,
  first: Uint8Array | undefined,
): Promise<void> {
  let failure: GrpcStatusError | undefined;
  const upward = async (): Promise<void> => {
    if (first !== undefined) await stream.send(first);
    for (
      let message = await call.messages.next();
      message !== undefined;
      message = await call.messages.next()
    ) {
      const wait = stream.send(message);
      if (wait !== undefined) await wait;
    }
    stream.end();
  };
  upward().catch((error: unknown) => {
    failure =
      error instanceof GrpcStatusError ? error : new GrpcStatusError(GrpcCode.Canceled, 'context canceled');
    stream.cancel(failure);
  });
  let headersGiven = false;
  const giveHeaders = (headers: HeaderList): void => {
    if (headersGiven) return;
    headersGiven = true;
    call.addHeaders(headers);
    call.sendHeaders();
  };
  stream.headers.then(giveHeaders, () => {});
  try {
    for (let message = await stream.next(); message !== undefined; message = await stream.next()) {
      if (!headersGiven) giveHeaders(await stream.headers);
      const wait = call.send(message);
      if (wait !== undefined) await wait;
    }
    if (!headersGiven) call.addHeaders(await stream.headers);
    call.addTrailers(stream.trailers());
  } catch (error) {
    const status = failure ?? error;
    if (status instanceof GrpcStatusError) call.addTrailers(status.trailers);
    throw status;
  }
}

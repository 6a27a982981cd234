/**
 * Proxying (gRPC reference, section 4): a method that is not ours is somebody's app. Messages pass as opaque bytes both
 * ways, headers and trailers untouched; who the target is and how it is reached is told by `open`.
 */

import type { HeaderList } from '../contracts/app-channel.ts';
import type { Clock } from '../contracts/clock.ts';
import { type RuntimeError, runtimeError } from '../contracts/error.ts';
import { GrpcCode } from '../contracts/grpc-code.ts';
import { metadataValue } from '../contracts/grpc-wire/metadata.ts';
import { GrpcStatusError } from '../contracts/grpc-wire/status.ts';
import { isTruthy } from '../contracts/metadata.ts';
import type { Policy } from '../contracts/resiliency.ts';
import type { GrpcStream } from '../grpc-client/call.ts';
import type { RawCall, UnknownMethodHandler } from './dispatch.ts';

const CALLEE = 'dapr-callee-app-id';
const APP = 'dapr-app-id';

/** A stream to open for a proxied call. */
export interface ProxyRequest {
  /** App id as the caller named it. */
  readonly appId: string;
  readonly path: string;
  readonly metadata: HeaderList;
  readonly signal: AbortSignal;
  readonly timeoutMs: number | undefined;
  readonly call: RawCall;
  /** To be called when the target is known and the stream is about to be opened. */
  readonly leaving: () => void;
}

/** Counts proxied calls of callers that name the app; `responseReceived` where the answer is waited for. */
export interface ProxyMetrics {
  requestSent(appId: string): void;
  streamSent(appId: string): void;
  responseReceived(appId: string, status: number, elapsedMs: number): void;
}

export interface ProxyOptions {
  /** Opens the stream; rejects with a `GrpcStatusError` or `RuntimeError`. */
  readonly open: (request: ProxyRequest) => Promise<GrpcStream>;
  /** Policy of a remote app's method, which has a breaker of its own; `undefined` for the own app and where there is none. */
  readonly policy: (appId: string, path: string) => Policy | undefined;
  readonly metrics?: ProxyMetrics;
  readonly clock?: Pick<Clock, 'monotonicMs'>;
}

/** The handler for methods that no service of this server has. */
export function createProxyHandler(options: ProxyOptions): UnknownMethodHandler {
  return async (call) => {
    const appId = targetOf(call);
    const policy = options.policy(metadataValue(call.metadata, APP) ?? '', call.path);
    const streamed = isTruthy(metadataValue(call.metadata, 'dapr-stream'));
    const open = (signal: AbortSignal, leaving: () => void): Promise<GrpcStream> =>
      options.open({
        appId,
        path: call.path,
        metadata: call.metadata,
        signal,
        timeoutMs: call.remainingMs,
        call,
        leaving,
      });
    const counted = metadataValue(call.metadata, APP);
    const count = (): void => {
      if (counted !== undefined) options.metrics?.streamSent(counted);
    };
    /** Opens and passes, and counts both. */
    const exchange = async (signal: AbortSignal, messages: AsyncIterable<Uint8Array>, late?: boolean) => {
      let startedMs: number | undefined;
      const answered = (status: number): void => {
        if (counted === undefined || startedMs === undefined) return;
        options.metrics?.responseReceived(counted, status, (options.clock?.monotonicMs() ?? 0) - startedMs);
      };
      try {
        const stream = await open(signal, () => {
          startedMs = options.clock?.monotonicMs() ?? 0;
          if (counted !== undefined) options.metrics?.requestSent(counted);
        });
        await pass(call, stream, messages, late);
      } catch (error) {
        answered(error instanceof GrpcStatusError ? error.code : GrpcCode.Unknown);
        throw error;
      }
      answered(GrpcCode.OK);
    };

    if (policy === undefined || !policy.active) {
      if (!streamed) return exchange(call.signal, call.messages);
      return pass(call, await open(call.signal, count), call.messages);
    }
    if (streamed) {
      // The policy covers the beginning only: a stream may live for days.
      const stream = await policy.run(() => open(call.signal, count), {
        signal: call.signal,
        status: statusCarrier,
      });
      return pass(call, stream, call.messages);
    }
    const messages = policy.retries ? replayable(call) : () => call.messages;
    await policy.run((signal) => exchange(signal, messages(), policy.retries), {
      signal: call.signal,
      status: statusCarrier,
    });
  };
}

const OWN_PATHS = /^\/(?:dapr\.proto\.(?:runtime|internals)\.|TaskHubSidecarService)/;

function targetOf({ metadata, path, traced }: RawCall): string {
  const appId = metadataValue(metadata, CALLEE) ?? metadataValue(metadata, APP);
  if (appId !== undefined) return appId;
  // With tracing on Dapr misses the app id one step earlier, in other words.
  if (traced && !OWN_PATHS.test(path))
    throw missing(`cannot proxy request: missing ${CALLEE} or ${APP} metadata`);
  throw missing(`failed to proxy request: required metadata ${CALLEE} or ${APP} not found`);
}

const missing = (error: string): RuntimeError => runtimeError('unknown', { error });

function statusCarrier(error: unknown): { grpcCode: number } | undefined {
  return error instanceof GrpcStatusError ? { grpcCode: error.code } : undefined;
}

/** Pumps both directions until the callee has ended the call. `late` keeps headers back until there is a message. */
async function pass(
  call: RawCall,
  stream: GrpcStream,
  requests: AsyncIterable<Uint8Array>,
  late = false,
): Promise<void> {
  const upward = sendUp(requests, stream);
  let headersGiven = false;
  const giveHeaders = (headers: HeaderList): void => {
    if (headersGiven) return;
    headersGiven = true;
    call.addHeaders(headers);
    call.sendHeaders();
  };
  if (!late) stream.headers.then(giveHeaders, () => {});
  try {
    for await (const message of stream.messages) {
      if (!headersGiven) giveHeaders(await stream.headers);
      await call.send(message);
    }
    if (!headersGiven) call.addHeaders(await stream.headers);
    call.addTrailers(stream.trailers());
  } catch (error) {
    throw upward.failure ?? error;
  }
}

/** Client to callee. A failure here is the call's failure and ends the stream. */
function sendUp(
  requests: AsyncIterable<Uint8Array>,
  stream: GrpcStream,
): { readonly failure: GrpcStatusError | undefined } {
  const state: { failure: GrpcStatusError | undefined } = { failure: undefined };
  const run = async (): Promise<void> => {
    for await (const message of requests) {
      const wait = stream.send(message);
      if (wait !== undefined) await wait;
    }
    stream.end();
  };
  run().catch((error: unknown) => {
    state.failure =
      error instanceof GrpcStatusError ? error : new GrpcStatusError(GrpcCode.Canceled, 'context canceled');
    stream.cancel(state.failure);
  });
  return state;
}

/** Requests that can be sent again: one message, remembered. More of them cannot be under a policy with retries. */
function replayable(call: RawCall): () => AsyncIterable<Uint8Array> {
  const first = call.messages.next();
  first.catch(() => {});
  let second: Promise<Uint8Array | undefined> | undefined;
  return async function* () {
    const message = await first;
    if (message === undefined) return;
    yield message;
    second ??= call.messages.next();
    if ((await second) !== undefined) {
      throw new GrpcStatusError(
        GrpcCode.FailedPrecondition,
        'cannot use resiliency policies with retries on streaming RPCs',
      );
    }
  };
}

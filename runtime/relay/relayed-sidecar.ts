/**
 * The sidecar beside the relay, as the components of a node ask it: each request is one call over the link, compressed against
 * the requests before it. Who asks is known by the link; no token of the cloud's sidecar is needed here.
 */

import { GrpcCode } from '../contracts/grpc-code.ts';
import { GrpcStatusError } from '../contracts/grpc-wire/status.ts';
import type { RelayedRequest, RelayedSidecar } from '../contracts/relayed-sidecar.ts';
import type { GrpcCallOptions, GrpcStream } from '../grpc-client/call.ts';
import { createUnpacker, PACKING, type Packed, type Packer, packAlone, plain } from './packing.ts';
import { SIDECAR_HTTP_PATH, SIDECAR_SUBSCRIBE_PATH, type SidecarOffer } from './protocol.ts';
import type { ReverseCall } from './reverse-call.ts';
import { decodeAnswerMessage, encodeRequest, errorAnswer, MAX_HEAD_BYTES } from './sidecar-message.ts';

/** What of the link is used here. */
export interface SidecarLine {
  /** What the relay offers; `undefined` when it has no sidecar. Rejects while the link is down. */
  offer(signal: AbortSignal): Promise<SidecarOffer | undefined>;
  open(call: ReverseCall, options: GrpcCallOptions): Promise<GrpcStream>;
  onUp(run: () => void): { stop(): void };
  /** Of all apps of the node: the relay knows one link. */
  readonly packer: Packer;
  readonly maxMessageBytes: number;
}

/** Nobody is called by name. */
const CALLEE = '-';

export function createRelayedSidecar(
  line: SidecarLine,
  { appId, namespace }: { readonly appId: string; readonly namespace: string },
): RelayedSidecar {
  const offered = async (what: 'http' | 'subscribe', signal: AbortSignal): Promise<boolean> => {
    const offer = await line.offer(signal);
    if (offer?.[what] !== true) {
      const flag = what === 'http' ? '--sidecar-http' : '--sidecar-grpc';
      throw new Error(`the relay has no sidecar beside it for its nodes (skerry relay ${flag})`);
    }
    return offer.packings.includes(PACKING);
  };
  const open = (path: string, packs: boolean, signal: AbortSignal): Promise<GrpcStream> =>
    line.open(
      { path, caller: appId, callee: CALLEE, namespace, ...(packs ? { packing: PACKING } : {}) },
      { signal },
    );

  const ask = async (message: Buffer, request: RelayedRequest, packs: boolean, alone: boolean) => {
    const route = routeOf(request);
    const packed: Packed = packs ? await line.packer.pack(message, route, alone) : plain(message);
    let arrived = false;
    try {
      const stream = await open(SIDECAR_HTTP_PATH, packs, request.signal).catch(orBusy);
      if (stream === undefined) return BUSY;
      stream.end(packed.bytes);
      const bytes = await stream.next();
      if (bytes === undefined) throw new Error('the relay gave no answer');
      arrived = true;
      await stream.next();
      return decodeAnswerMessage(
        await createUnpacker().unpack(bytes, request.maxAnswerBytes + MAX_HEAD_BYTES),
      );
    } finally {
      packed.settle(arrived);
    }
  };

  return {
    onUp: line.onUp,
    request: async (request) => {
      const packs = await offered('http', request.signal);
      const body = request.body ?? new Uint8Array(0);
      if (body.byteLength > line.maxMessageBytes)
        return errorAnswer(
          413,
          'ERR_BODY_TOO_LARGE',
          `the body is larger than ${line.maxMessageBytes} bytes`,
        );
      const message = encodeRequest(request, body);
      try {
        return await ask(message, request, packs, false);
      } catch (error) {
        if (!(error instanceof GrpcStatusError)) throw error;
        // The relay has forgotten what the message was compressed against.
        if (error.code === GrpcCode.FailedPrecondition) return await ask(message, request, packs, true);
        if (error.code === GrpcCode.ResourceExhausted)
          return errorAnswer(413, 'ERR_BODY_TOO_LARGE', `the relay: ${error.message}`);
        throw error;
      }
    },
    subscribe: async (signal) => {
      const packs = await offered('subscribe', signal);
      const stream = await open(SIDECAR_SUBSCRIBE_PATH, packs, signal);
      const unpacker = createUnpacker();
      const most = line.maxMessageBytes + MAX_HEAD_BYTES;
      return {
        messages: {
          async *[Symbol.asyncIterator]() {
            for await (const bytes of stream.messages) yield await unpacker.unpack(bytes, most);
          },
        },
        send: async (message) => stream.send(packs ? await packAlone(message) : plain(message).bytes),
        end: () => stream.end(),
      };
    },
  };
}

const BUSY = errorAnswer(429, 'ERR_RELAY_BUSY', 'the relay takes no more calls of this node for now');

/** `undefined` where the link stands and has no room for another call. */
function orBusy(error: unknown): undefined {
  if (error instanceof GrpcStatusError && error.code === GrpcCode.ResourceExhausted) return undefined;
  throw error;
}

/** Requests that look alike: the first parts of the path, without a key or a topic. */
function routeOf({ method, path }: RelayedRequest): string {
  return `${method} ${path.split(/[/?]/, 5).join('/')}`;
}

/**
 * Streaming subscriptions of nodes at the sidecar beside the relay: the first message is looked at, everything behind it passes
 * both ways. The connection to the sidecar with its pings stays here; events go over the link compressed against each other.
 */

import type { HeaderList } from '../contracts/app-channel.ts';
import { errorText } from '../contracts/error.ts';
import { GrpcCode } from '../contracts/grpc-code.ts';
import { GrpcStatusError } from '../contracts/grpc-wire/status.ts';
import { SubscribeTopicEventsRequestAlpha1Schema } from '../generated/dapr/proto/runtime/v1/pubsub_pb.ts';
import type { GrpcClient } from '../grpc-client/client.ts';
import { codec } from '../grpc-client/codec.ts';
import { type ForwardedCall, forward } from './forward.ts';
import type { Keeper, Keepers } from './keepers.ts';
import type { NodeCall } from './node-call.ts';
import { createPacker, createUnpacker, PACKING, plain } from './packing.ts';
import { MAX_HEAD_BYTES } from './sidecar-message.ts';

export interface FarSubscriptions {
  /** Passes a subscription on until it ends; rejects with its status. `check` throws where it is not allowed. */
  serve(call: NodeCall, node: string, check: (pubsub: string, topic: string) => void): Promise<void>;
}

const PATH = '/dapr.proto.runtime.v1.Dapr/SubscribeTopicEventsAlpha1';
const requests = codec(SubscribeTopicEventsRequestAlpha1Schema);
const ROUTE = '';

export function createFarSubscriptions(options: {
  readonly client: GrpcClient;
  /** Of the sidecar; asked per stream. */
  readonly headers: () => HeaderList;
  readonly maxMessageBytes: number;
  readonly keepers: Keepers;
  /** Looks whether there is another token by now. */
  readonly reread: () => Promise<boolean>;
}): FarSubscriptions {
  const most = options.maxMessageBytes + MAX_HEAD_BYTES;
  return {
    async serve(call, node, check) {
      const packs = call.packing === PACKING;
      const unpacker = createUnpacker(() => false);
      const next = async (): Promise<Uint8Array | undefined> => {
        const packed = await call.messages.next();
        return packed === undefined ? undefined : await unpacker.unpack(packed, most);
      };
      const first = await next();
      if (first === undefined) return;
      const { pubsubName, topic } = targetOf(first);
      check(pubsubName, topic);
      const stream = await options.client.bidi(PATH, {
        metadata: [...options.headers(), ['skerry-node', node], ['skerry-app-id', call.caller]],
        signal: call.signal,
      });
      const packer = createPacker();
      const keeper: Keeper = { usedMs: 0, release: () => packer.release() };
      const passed: ForwardedCall = {
        path: call.path,
        metadata: [],
        contentType: call.contentType,
        messages: { next },
        signal: call.signal,
        remainingMs: undefined,
        // What the far server says of itself is not for nodes.
        addHeaders: () => {},
        sendHeaders: () => {},
        addTrailers: () => {},
        send: async (message) => {
          if (!packs) return await call.send(plain(message).bytes);
          const { bytes, settle } = await packer.pack(message, ROUTE);
          // In order on one stream: whoever reads the next one has this one.
          settle(options.keepers.use(keeper));
          await call.send(bytes);
        },
      };
      try {
        await forward(passed, stream, first);
      } catch (error) {
        // The node dials again, with what is in force then.
        if (error instanceof GrpcStatusError && error.code === GrpcCode.Unauthenticated)
          await options.reread();
        throw error;
      } finally {
        options.keepers.drop(keeper);
      }
    },
  };
}

/** Throws where a stream begins with something else. */
function targetOf(message: Uint8Array): { readonly pubsubName: string; readonly topic: string } {
  let part: ReturnType<typeof requests.decode>['subscribeTopicEventsRequestType'];
  try {
    part = requests.decode(message).subscribeTopicEventsRequestType;
  } catch (cause) {
    throw new GrpcStatusError(GrpcCode.InvalidArgument, errorText(cause));
  }
  if (part.case !== 'initialRequest')
    throw new GrpcStatusError(GrpcCode.InvalidArgument, 'a subscription begins with its initial request');
  return part.value;
}

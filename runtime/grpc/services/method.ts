/** How the services of this folder declare methods: schemas instead of codecs, plain objects as answers. */

import {
  create,
  type DescMessage,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from '@bufbuild/protobuf';
import type { Blocks } from '../../contracts/blocks.ts';
import type { Clock } from '../../contracts/clock.ts';
import type { CloudEvent } from '../../contracts/cloud-event.ts';
import { errorText } from '../../contracts/error.ts';
import type {
  AnyGrpcMethod,
  BidiMethod,
  Codec,
  GrpcCall,
  ServerStreamMethod,
  UnaryMethod,
} from '../../contracts/grpc-wire/service.ts';
import type { GrpcOperationKey } from '../../contracts/operations.ts';
import type { TopicEventRequestSchema } from '../../generated/dapr/proto/runtime/v1/appcallback_pb.ts';
import { wireFault } from '../wire-fault.ts';

/** What the services work with. */
export interface ServiceDeps {
  readonly blocks: Blocks;
  readonly appId: string;
  /** Empty when `NAMESPACE` is not set. */
  readonly namespace: string;
  readonly clock: Clock;
  /** Fields of a topic event that come from its envelope; the app channel's own conversion. */
  readonly topicEventFields: (envelope: CloudEvent) => MessageInitShape<typeof TopicEventRequestSchema>;
  /** Aborts when the sidecar stops: long streams end. */
  readonly draining: AbortSignal;
}

/** Implementation of an operation: one method for all its names, or a method per name. */
export type OperationMethods = AnyGrpcMethod | Readonly<Record<string, AnyGrpcMethod>>;

/** Implementations of the operations `K`; a missing one does not compile. */
export type Operations<K extends GrpcOperationKey> = Readonly<Record<K, OperationMethods>>;

const requestCodec = <D extends DescMessage>(schema: D): Codec<MessageShape<D>> => ({
  encode: (message) => toBinary(schema, message),
  decode: (bytes) => {
    try {
      return fromBinary(schema, bytes);
    } catch (cause) {
      throw new Error(wireFault(schema, bytes) ?? errorText(cause), { cause });
    }
  },
});
const answerCodec = <D extends DescMessage>(schema: D): Codec<MessageInitShape<D>> => ({
  encode: (answer) => toBinary(schema, create(schema, answer)),
  decode: (bytes) => fromBinary(schema, bytes) as MessageInitShape<D>,
});

/** A unary method. */
export function unary<I extends DescMessage, O extends DescMessage>(
  request: I,
  answer: O,
  handle: (request: MessageShape<I>, call: GrpcCall) => Promise<MessageInitShape<O>>,
): UnaryMethod<MessageShape<I>, MessageInitShape<O>> {
  return { kind: 'unary', request: requestCodec(request), response: answerCodec(answer), handle };
}

const NOTHING = new Uint8Array(0);
const EMPTY: Codec<undefined> = { encode: () => NOTHING, decode: () => undefined };

/** A unary method that answers `google.protobuf.Empty`. */
export function command<I extends DescMessage>(
  request: I,
  handle: (request: MessageShape<I>, call: GrpcCall) => Promise<void>,
): UnaryMethod<MessageShape<I>, undefined> {
  return {
    kind: 'unary',
    request: requestCodec(request),
    response: EMPTY,
    handle: (message, call) => handle(message, call) as Promise<undefined>,
  };
}

/** A method with a stream of answers. */
export function serverStream<I extends DescMessage, O extends DescMessage>(
  request: I,
  answer: O,
  handle: (request: MessageShape<I>, call: GrpcCall) => AsyncIterable<MessageInitShape<O>>,
): ServerStreamMethod<MessageShape<I>, MessageInitShape<O>> {
  return { kind: 'server-stream', request: requestCodec(request), response: answerCodec(answer), handle };
}

/** A method with streams both ways. */
export function bidi<I extends DescMessage, O extends DescMessage>(
  request: I,
  answer: O,
  handle: (requests: AsyncIterable<MessageShape<I>>, call: GrpcCall) => AsyncIterable<MessageInitShape<O>>,
): BidiMethod<MessageShape<I>, MessageInitShape<O>> {
  return { kind: 'bidi', request: requestCodec(request), response: answerCodec(answer), handle };
}

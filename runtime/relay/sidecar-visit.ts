/**
 * One link at the sidecar's door: only what the operator allows, in the name of the node that asks. What the node may have
 * under way is bounded, and so is what is kept to unpack its messages.
 */

import { errorText } from '../contracts/error.ts';
import { GrpcCode } from '../contracts/grpc-code.ts';
import { GrpcStatusError } from '../contracts/grpc-wire/status.ts';
import type { RelayedAnswer } from '../contracts/relayed-sidecar.ts';
import type { Keeper } from './keepers.ts';
import type { NodeCall } from './node-call.ts';
import { createUnpacker, PACKING, packAlone, plain, UnknownBaseError, type Unpacker } from './packing.ts';
import { SIDECAR_HTTP_PATH, SIDECAR_SUBSCRIBE_PATH } from './protocol.ts';
import type { SidecarDoorOptions } from './sidecar-door.ts';
import { decodeRequest, encodeAnswer, MAX_HEAD_BYTES, type SidecarRequest } from './sidecar-message.ts';
import { type Asked, askedOf, isAllowed } from './sidecar-operations.ts';

export interface Visitor {
  /** Of the node. */
  readonly name: string;
  /** What it was enrolled for. */
  readonly appIds: readonly string[];
}

export interface VisitParts extends SidecarDoorOptions {
  /** Notes what was refused. */
  refused(visitor: Visitor, call: NodeCall, what: string): void;
  /** All nodes together have as much under way as they may. */
  isFull(): boolean;
}

export interface Visit {
  /** A call of the node; ends it in every case. */
  serve(call: NodeCall): Promise<void>;
  leave(): void;
}

/** Of one node: requests, subscriptions and bytes of requests under way. */
const MAX_REQUESTS = 256;
const MAX_SUBSCRIPTIONS = 64;
const MAX_BYTES = 16 * 1024 * 1024;

export function createVisit(visitor: Visitor, parts: VisitParts): Visit {
  const { allowed, ask, subscriptions, keepers, log, metrics } = parts;
  let requests = 0;
  let streams = 0;
  let bytes = 0;
  const unpacker: Unpacker = createUnpacker(() => keepers.use(keeper));
  const keeper: Keeper = { usedMs: 0, release: () => unpacker.release() };

  /** Why not; `undefined` when it may. */
  const refusalOf = (
    call: NodeCall,
    asked: Pick<Asked, 'operation' | 'name'> | undefined,
    what: string,
  ): string | undefined => {
    if (!visitor.appIds.includes(call.caller)) {
      parts.refused(visitor, call, `${what} in the name of ${call.caller}`);
      return `the node ${visitor.name} may not ask in the name of ${call.caller}`;
    }
    if (asked !== undefined && isAllowed(allowed, asked)) return undefined;
    parts.refused(visitor, call, what);
    return `the relay does not allow its nodes ${what}`;
  };

  const answerOf = async (call: NodeCall, request: SidecarRequest): Promise<RelayedAnswer> => {
    const { method, path } = request;
    const asked = askedOf(method, path);
    const refusal = refusalOf(call, asked, `${method} ${path}`);
    if (refusal !== undefined) return failure(403, 'ERR_RELAY_REFUSED', refusal);
    if (asked === undefined || ask === undefined) throw unimplemented();
    if (parts.isFull() || bytes > MAX_BYTES) return BUSY;
    metrics.count('skerry_relay_sidecar_requests_total', { operation: asked.operation });
    try {
      return await ask(request, asked, { node: visitor.name, appId: call.caller }, call.signal);
    } catch (cause) {
      if (call.signal.aborted) throw cause;
      const text = `the sidecar beside the relay gives no answer: ${errorText(cause)}`;
      log.debug(text);
      return failure(503, 'ERR_RELAY_SIDECAR', text);
    }
  };

  const received = async (call: NodeCall): Promise<Uint8Array> => {
    if (call.packing !== '' && call.packing !== PACKING)
      throw invalid(`the packing ${call.packing} is not known here`);
    const packed = await call.messages.next();
    if (packed === undefined) throw invalid('the call has no message');
    try {
      const message = await unpacker.unpack(packed, parts.maxMessageBytes + MAX_HEAD_BYTES);
      metrics.count('skerry_relay_sidecar_bytes_total', { form: 'packed' }, packed.byteLength);
      metrics.count('skerry_relay_sidecar_bytes_total', { form: 'plain' }, message.byteLength);
      return message;
    } catch (cause) {
      if (cause instanceof UnknownBaseError)
        throw new GrpcStatusError(GrpcCode.FailedPrecondition, cause.message);
      throw invalid(errorText(cause));
    }
  };

  const request = async (call: NodeCall): Promise<void> => {
    const message = await received(call);
    bytes += message.byteLength;
    try {
      const answer = encodeAnswer(await answerOf(call, asRequest(message)));
      await call.send(call.packing === PACKING ? await packAlone(answer) : plain(answer).bytes);
    } finally {
      bytes -= message.byteLength;
    }
  };
  const bounded = async (call: NodeCall): Promise<void> => {
    requests += 1;
    try {
      // One too many is answered before anything of it is read.
      if (requests > MAX_REQUESTS) await call.send(plain(encodeAnswer(BUSY)).bytes);
      else await request(call);
    } finally {
      requests -= 1;
    }
  };

  const subscription = async (call: NodeCall): Promise<void> => {
    if (subscriptions === undefined) throw unimplemented();
    if (streams >= MAX_SUBSCRIPTIONS)
      throw new GrpcStatusError(GrpcCode.Unavailable, 'the node has too many subscriptions');
    streams += 1;
    try {
      await subscriptions.serve(call, visitor.name, (pubsub, topic) => {
        const asked = { operation: 'subscribe', name: pubsub } as const;
        const refusal = refusalOf(call, asked, `subscribe ${pubsub}/${topic}`);
        if (refusal !== undefined) throw new GrpcStatusError(GrpcCode.PermissionDenied, refusal);
        metrics.count('skerry_relay_sidecar_requests_total', { operation: 'subscribe' });
      });
    } finally {
      streams -= 1;
    }
  };

  return {
    leave: () => {
      keepers.drop(keeper);
      unpacker.release();
    },
    async serve(call) {
      try {
        if (call.path === SIDECAR_HTTP_PATH && ask !== undefined) await bounded(call);
        else if (call.path === SIDECAR_SUBSCRIBE_PATH) await subscription(call);
        else throw unimplemented();
        call.finish({ code: GrpcCode.OK, message: '' });
      } catch (cause) {
        call.finish(
          cause instanceof GrpcStatusError ? cause : { code: GrpcCode.Internal, message: errorText(cause) },
        );
      }
    },
  };
}

const BUSY = failure(429, 'ERR_RELAY_BUSY', 'the relay has too many requests under way');

function asRequest(message: Uint8Array): SidecarRequest {
  try {
    return decodeRequest(message);
  } catch (cause) {
    throw invalid(errorText(cause));
  }
}

function failure(status: number, errorCode: string, message: string): RelayedAnswer {
  return {
    status,
    headers: { 'content-type': 'application/json' },
    body: Buffer.from(JSON.stringify({ errorCode, message })),
  };
}

function invalid(text: string): GrpcStatusError {
  return new GrpcStatusError(GrpcCode.InvalidArgument, text);
}

function unimplemented(): GrpcStatusError {
  return new GrpcStatusError(GrpcCode.Unimplemented, 'the relay has no sidecar that answers this');
}

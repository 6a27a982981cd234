/**
 * One link at the sidecar's door: only what the operator allows, in the name of the node that asks. What the node may have
 * under way is bounded, and so is what is kept to unpack its messages.
 */

import { errorText } from '../contracts/error.ts';
import { GrpcCode } from '../contracts/grpc-code.ts';
import { type GrpcStatus, GrpcStatusError } from '../contracts/grpc-wire/status.ts';
import type { RelayedAnswer } from '../contracts/relayed-sidecar.ts';
import type { Keeper } from './keepers.ts';
import type { NodeCall } from './node-call.ts';
import { createUnpacker, PACKING, packAlone, plain, UnknownBaseError, type Unpacker } from './packing.ts';
import { SIDECAR_HTTP_PATH, SIDECAR_SUBSCRIBE_PATH } from './protocol.ts';
import type { SidecarDoorOptions } from './sidecar-door.ts';
import {
  decodeRequest,
  encodeAnswer,
  errorAnswer,
  MAX_HEAD_BYTES,
  type SidecarRequest,
} from './sidecar-message.ts';
import { touchedBy } from './sidecar-names.ts';
import { type Asked, askedOf } from './sidecar-operations.ts';
import { allowedPart } from './sidecar-rules.ts';

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

  /** What of it may be asked; throws why nothing. */
  const allowedTo = (call: NodeCall, asked: Pick<Asked, 'operation' | 'name'> | undefined, what: string) => {
    if (!visitor.appIds.includes(call.caller)) {
      parts.refused(visitor, call, `${what} in the name of ${call.caller}`);
      throw new RefusedError(`the node ${visitor.name} may not ask in the name of ${call.caller}`);
    }
    const who = { node: visitor.name, app: call.caller };
    const part = asked === undefined ? [] : allowedPart(allowed, asked, who);
    return part === 'all' || part.length > 0 ? part : refuse(call, what);
  };
  const refuse = (call: NodeCall, what: string): never => {
    parts.refused(visitor, call, what);
    throw new RefusedError(`the relay does not allow its nodes ${what}`);
  };

  /** The request as it may go on: as it came, or with its body as it was judged. */
  const judged = (call: NodeCall, request: SidecarRequest): { asked: Asked; request: SidecarRequest } => {
    const what = `${request.method} ${request.path}`;
    const asked = askedOf(request.method, request.path);
    const part = allowedTo(call, asked, what);
    if (asked === undefined || part === 'all') return { asked: asked ?? refuse(call, what), request };
    const touched = touchedBy(asked, request);
    if (touched === undefined || !beginSo(touched.names, part)) return refuse(call, what);
    const { body = request.body } = touched;
    return { asked, request: { ...request, body } };
  };

  const answerOf = async (call: NodeCall, came: SidecarRequest): Promise<RelayedAnswer> => {
    if (ask === undefined) throw unimplemented();
    const { asked, request } = judged(call, came);
    if (parts.isFull() || bytes > MAX_BYTES) return BUSY;
    metrics.count('skerry_relay_sidecar_requests_total', { operation: asked.operation });
    try {
      return await ask(request, asked, { node: visitor.name, appId: call.caller }, call.signal);
    } catch (cause) {
      if (call.signal.aborted) throw cause;
      const text = `the sidecar beside the relay gives no answer: ${errorText(cause)}`;
      log.debug(text);
      // No answer, as where the sidecar is reached without a relay: an outage, and not a word of the sidecar.
      throw new GrpcStatusError(GrpcCode.Unavailable, text);
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
      const answer = encodeAnswer(await answerOf(call, asRequest(message)).catch(refusalOf));
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
        const what = `subscribe ${pubsub}/${topic}`;
        const part = allowedTo(call, { operation: 'subscribe', name: pubsub }, what);
        if (part !== 'all' && !beginSo([topic], part)) refuse(call, what);
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
        call.finish(statusOf(cause));
      }
    },
  };
}

/** The node may not. */
class RefusedError extends Error {
  override readonly name = 'RefusedError';
}

function beginSo(names: readonly string[], prefixes: readonly string[]): boolean {
  return names.every((name) => prefixes.some((prefix) => name.startsWith(prefix)));
}

function refusalOf(cause: unknown): RelayedAnswer {
  if (cause instanceof RefusedError) return errorAnswer(403, 'ERR_RELAY_REFUSED', cause.message);
  throw cause;
}

function statusOf(cause: unknown): GrpcStatus {
  if (cause instanceof GrpcStatusError) return cause;
  const code = cause instanceof RefusedError ? GrpcCode.PermissionDenied : GrpcCode.Internal;
  return { code, message: errorText(cause) };
}

const BUSY = errorAnswer(429, 'ERR_RELAY_BUSY', 'the relay has too many requests under way');

function asRequest(message: Uint8Array): SidecarRequest {
  try {
    return decodeRequest(message);
  } catch (cause) {
    throw invalid(errorText(cause));
  }
}

function invalid(text: string): GrpcStatusError {
  return new GrpcStatusError(GrpcCode.InvalidArgument, text);
}

function unimplemented(): GrpcStatusError {
  return new GrpcStatusError(GrpcCode.Unimplemented, 'the relay has no sidecar that answers this');
}

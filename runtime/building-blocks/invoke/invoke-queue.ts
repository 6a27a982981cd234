/**
 * Calls that may wait (header or gRPC metadata `skerry-queue: true`): accepted onto the disk, made when their target can be
 * reached, in order per target. What an app refuses for good is parked, where people see it; everything else is tried again.
 * The message id goes along as `skerry-message-id`, so that a receiver can drop the repeat that follows a lost answer.
 */

import type { HeaderList, InvokeRequest, InvokeResponse } from '../../contracts/app-channel.ts';
import type { InvokeTarget } from '../../contracts/blocks.ts';
import { bytesBody } from '../../contracts/body.ts';
import type { CallContext } from '../../contracts/call-context.ts';
import { errorText, runtimeError } from '../../contracts/error.ts';
import { GrpcCode } from '../../contracts/grpc-code.ts';
import type { Logger } from '../../contracts/logger.ts';
import { isTruthy } from '../../contracts/metadata.ts';
import type { DeliveryOutcome, Spool, SpoolSource, StoredMessage } from '../../contracts/spool.ts';
import { dropBody, wholeRequest } from './body.ts';

const QUEUE_HEADER = 'skerry-queue';
const ID_HEADER = 'skerry-message-id';

export interface InvokeQueueOptions {
  readonly appId: string;
  readonly spools: SpoolSource;
  /** The call itself, as it would be made without a queue. */
  readonly invoke: (
    target: InvokeTarget,
    request: InvokeRequest,
    call: CallContext,
  ) => Promise<InvokeResponse>;
  /** Context of a call that nobody waits for. */
  readonly context: (signal: AbortSignal) => CallContext;
  readonly log: Logger;
}

export interface InvokeQueue {
  /** Makes the call, or answers 202 with `{"id": <message id>}` once one that may wait is on disk. */
  invoke(target: InvokeTarget, request: InvokeRequest, call: CallContext): Promise<InvokeResponse>;
  /** Goes on with what an earlier run of the node left. */
  resume(): Promise<void>;
  /** The targets may be back. */
  wake(): void;
  close(): Promise<void>;
}

const MAX_MESSAGES = 100_000;
const MAX_BYTES = 256 * 1024 * 1024;
const PRIORITY = 5;

/** gRPC codes after which the same call may succeed later. */
const PASSING = new Set<number>([
  GrpcCode.Unavailable,
  GrpcCode.ResourceExhausted,
  GrpcCode.Aborted,
  GrpcCode.DeadlineExceeded,
  GrpcCode.Canceled,
  GrpcCode.Internal,
  GrpcCode.Unknown,
]);

export function createInvokeQueue(options: InvokeQueueOptions): InvokeQueue {
  const { spools, log } = options;
  const name = `${options.appId}/invoke`;
  let opening: Promise<Spool> | undefined;
  let opened: Spool | undefined;

  const open = (): Promise<Spool> => {
    opening ??= spools
      .open({ name, maxMessages: MAX_MESSAGES, maxBytes: MAX_BYTES, whenFull: 'reject', ttlMs: 0 })
      .then((spool) => {
        opened = spool;
        spool.drain(deliver);
        return spool;
      });
    opening.catch(() => {
      opening = undefined;
    });
    return opening;
  };

  const deliver = async (message: StoredMessage, signal: AbortSignal): Promise<DeliveryOutcome> => {
    const { target, request } = fromMessage(message);
    try {
      const response = await options.invoke(target, request, options.context(signal));
      void dropBody(response);
      return outcomeOf(response);
    } catch (cause) {
      // The access policy of the callee stays as it is until somebody changes it.
      const refused = (cause as { httpStatus?: number }).httpStatus === 403;
      return refused ? { park: errorText(cause) } : { retry: errorText(cause) };
    }
  };

  const append = async (target: InvokeTarget, request: InvokeRequest): Promise<string> => {
    const message = toMessage(target, await wholeRequest(request));
    try {
      return await (await open()).append(message);
    } catch (cause) {
      throw runtimeError('directInvoke', { appId: target.id, error: errorText(cause) }, { cause });
    }
  };

  return {
    invoke: async (target, request, call) =>
      mayWait(request.headers)
        ? accepted(await append(target, request))
        : options.invoke(target, request, call),
    resume: async () => {
      try {
        if ((await spools.list()).some((queue) => queue.name === name)) await open();
      } catch (cause) {
        log.error(`queued calls of ${options.appId} wait: ${errorText(cause)}`);
      }
    },
    wake: () => opened?.wake(),
    close: async () => {
      await (await opening?.catch(() => undefined))?.close();
    },
  };
}

function mayWait(headers: HeaderList): boolean {
  for (const [name, value] of headers)
    if (name.length === QUEUE_HEADER.length && name.toLowerCase() === QUEUE_HEADER) return isTruthy(value);
  return false;
}

function accepted(id: string): InvokeResponse {
  return {
    status: 202,
    grpc: false,
    headers: [[ID_HEADER, id]],
    contentType: 'application/json',
    body: bytesBody(Buffer.from(`${JSON.stringify({ id })}\n`)),
  };
}

function toMessage(target: InvokeTarget, { body, ...request }: InvokeRequest) {
  const { method, verb, query, contentType, dataTypeUrl } = request;
  const headers = request.headers.filter(([name]) => name.toLowerCase() !== QUEUE_HEADER);
  return {
    key: target.id,
    priority: PRIORITY,
    payload: body.bytes ?? new Uint8Array(0),
    headers: {
      id: target.id,
      method,
      verb,
      query,
      headers: JSON.stringify(headers),
      ...(contentType === undefined ? {} : { contentType }),
      ...(dataTypeUrl === undefined ? {} : { dataTypeUrl }),
    },
  };
}

function fromMessage({ id, headers, payload }: StoredMessage): {
  readonly target: InvokeTarget;
  readonly request: InvokeRequest;
} {
  const { contentType, dataTypeUrl } = headers;
  const own: HeaderList = JSON.parse(headers['headers'] ?? '[]') as HeaderList;
  return {
    target: { id: headers['id'] ?? '' },
    request: {
      method: headers['method'] ?? '',
      verb: headers['verb'] ?? '',
      query: headers['query'] ?? '',
      headers: [...own, [ID_HEADER, id]],
      body: bytesBody(payload),
      ...(contentType === undefined ? {} : { contentType }),
      ...(dataTypeUrl === undefined ? {} : { dataTypeUrl }),
    },
  };
}

function outcomeOf({ grpc, status, message }: InvokeResponse): DeliveryOutcome {
  if (grpc) {
    if (status === GrpcCode.OK) return 'delivered';
    const text = `the app answered with gRPC status ${status}: ${message ?? ''}`;
    return PASSING.has(status) ? { retry: text } : { park: text };
  }
  if (status < 400) return 'delivered';
  const text = `the app answered ${status}`;
  return status >= 500 || status === 408 || status === 425 || status === 429
    ? { retry: text }
    : { park: text };
}

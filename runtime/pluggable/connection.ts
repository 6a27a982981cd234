/**
 * The connection of one component instance to the process that serves it: calls by descriptor, the header that tells
 * instances of one type apart, and `Init` again whenever the process at the other end is a new one.
 */

import {
  create,
  type DescMessage,
  type DescMethodBiDiStreaming,
  type DescMethodUnary,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from '@bufbuild/protobuf';
import type { Clock } from '../contracts/clock.ts';
import { errorText } from '../contracts/error.ts';
import type { Logger } from '../contracts/logger.ts';
import { abortStatus } from '../grpc-client/abort-status.ts';
import type { GrpcStream } from '../grpc-client/call.ts';
import { createGrpcClient } from '../grpc-client/client.ts';

/** Header by which a component tells the instances that share its socket apart. */
const INSTANCE_HEADER = 'x-component-instance';
/** Dapr's default limit of a component's initialisation. */
const REPEATED_INIT_LIMIT_MS = 5000;
/** A Unix socket tells by itself when the other end is gone; Go's servers take pings without need for an attack. */
const NEVER_MS = 2 ** 31 - 1;
const DIAL_LIMIT_MS = 5000;

export interface ConnectionOptions {
  /** Path of the socket. */
  readonly socket: string;
  readonly componentName: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly maxMessageBytes: number;
}

/** Initialises the component through calls of `caller`. */
export type Initialise = (caller: Caller, signal: AbortSignal) => Promise<void>;

export interface Caller {
  /** A unary call; rejects with a `GrpcStatusError`. */
  call<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    message: MessageInitShape<I>,
    signal: AbortSignal,
  ): Promise<MessageShape<O>>;
}

export interface Connection extends Caller {
  /** Connects and initialises. */
  init(signal: AbortSignal): Promise<void>;
  /** Opens a stream both ways. */
  open<I extends DescMessage, O extends DescMessage>(
    method: DescMethodBiDiStreaming<I, O>,
    signal: AbortSignal,
  ): Promise<OpenStream<I, O>>;
  /** Grows with every connection that is lost. */
  readonly generation: number;
  /** Resolves when the connection of this generation is lost. */
  lost(generation: number, signal: AbortSignal): Promise<void>;
  close(): Promise<void>;
}

export interface OpenStream<I extends DescMessage, O extends DescMessage> {
  send(message: MessageInitShape<I>): Promise<void> | undefined;
  readonly messages: AsyncIterable<MessageShape<O>>;
  end(): void;
  cancel(): void;
}

/** A connection that is not made yet. */
export function createConnection(options: ConnectionOptions, initialise: Initialise): Connection {
  const { clock, log, componentName } = options;
  const metadata = [[INSTANCE_HEADER, componentName]] as const;
  let generation = 0;
  let ready = false;
  let started = false;
  let closed = false;
  /** The log knows that the component is away. */
  let told = false;
  let pending: Promise<void> | undefined;
  const waiting = new Set<() => void>();

  const client = createGrpcClient({
    target: `unix:${options.socket}`,
    clock,
    limits: {
      connectTimeoutMs: DIAL_LIMIT_MS,
      pingAfterMs: NEVER_MS,
      idleMs: Number.POSITIVE_INFINITY,
      maxMessageBytes: options.maxMessageBytes,
    },
    disconnected: () => {
      generation += 1;
      if (ready && !closed) log.warn(`the process of component ${componentName} has closed its connection`);
      ready = false;
      for (const done of [...waiting]) done();
    },
  });
  const raw: Caller = {
    call: async (method, message, signal) => {
      const bytes = toBinary(method.input, create(method.input, message));
      const answer = await client.unary(pathOf(method), bytes, { metadata, signal });
      return fromBinary(method.output, answer.message);
    },
  };

  const start = async (signal: AbortSignal): Promise<void> => {
    await client.connect(signal);
    const mine = generation;
    await initialise(raw, signal);
    ready = mine === generation;
  };
  /** The process was started anew and knows nothing of this component; all who wait share one attempt. */
  const again = (): Promise<void> => {
    pending ??= start(AbortSignal.timeout(REPEATED_INIT_LIMIT_MS))
      .then(() => {
        told = false;
        log.info(`component ${componentName} is connected again and initialised`);
      })
      .catch((error) => {
        const level = told ? 'debug' : 'warn';
        told = true;
        log[level](`component ${componentName} cannot be initialised again: ${errorText(error)}`);
        throw error;
      })
      .finally(() => {
        pending = undefined;
      });
    return pending;
  };
  /** The caller's patience may be shorter than that of the attempt. */
  const available = async (signal: AbortSignal): Promise<void> => {
    if (!started) throw new Error(`component ${componentName} is not initialised`);
    const { promise: aborted, reject } = Promise.withResolvers<never>();
    const abort = (): void => reject(abortStatus(signal.reason));
    signal.addEventListener('abort', abort, { once: true });
    if (signal.aborted) abort();
    try {
      await Promise.race([again(), aborted]);
    } finally {
      signal.removeEventListener('abort', abort);
    }
  };

  return {
    init: async (signal) => {
      await start(signal);
      started = true;
    },
    call: async (method, message, signal) => {
      if (!ready) await available(signal);
      return raw.call(method, message, signal);
    },
    open: async (method, signal) => {
      if (!ready) await available(signal);
      return typed(method, await client.bidi(pathOf(method), { metadata, signal }));
    },
    get generation() {
      return generation;
    },
    lost: (known, signal) => {
      if (known !== generation || signal.aborted) return Promise.resolve();
      return new Promise((resolve) => {
        const done = (): void => {
          waiting.delete(done);
          signal.removeEventListener('abort', done);
          resolve();
        };
        waiting.add(done);
        signal.addEventListener('abort', done, { once: true });
      });
    },
    close: () => {
      closed = true;
      // A component that does not answer must not hold up the end.
      client.reset();
      return client.close();
    },
  };
}

function pathOf(method: DescMethodUnary | DescMethodBiDiStreaming): string {
  return `/${method.parent.typeName}/${method.name}`;
}

function typed<I extends DescMessage, O extends DescMessage>(
  method: DescMethodBiDiStreaming<I, O>,
  stream: GrpcStream,
): OpenStream<I, O> {
  async function* messages(): AsyncGenerator<MessageShape<O>> {
    for await (const bytes of stream.messages) yield fromBinary(method.output, bytes);
  }
  return {
    send: (message) => stream.send(toBinary(method.input, create(method.input, message))),
    messages: messages(),
    end: () => stream.end(),
    cancel: () => stream.cancel(),
  };
}

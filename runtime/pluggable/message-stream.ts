/**
 * A stream on which a component hands over messages and gets an answer to each (`PullMessages`, `Read`). It is opened
 * again when it breaks. Closing takes nothing new, lets what is under way be answered, then ends the stream.
 */

import type {
  DescMessage,
  DescMethodBiDiStreaming,
  MessageInitShape,
  MessageShape,
} from '@bufbuild/protobuf';
import type { Clock } from '../contracts/clock.ts';
import { errorText } from '../contracts/error.ts';
import { GrpcCode } from '../contracts/grpc-code.ts';
import { GrpcStatusError } from '../contracts/grpc-wire/status.ts';
import type { Logger } from '../contracts/logger.ts';
import type { Connection, OpenStream } from './connection.ts';
import { remoteError } from './errors.ts';

const FIRST_WAIT_MS = 200;
const LAST_WAIT_MS = 5000;
const FACTOR = 1.5;
/** How long answers may take to reach the component after the last message was handled, as in daprd. */
const SETTLE_MS = 400;
/** A paused component counts as drained after this long without a message, and after the limit in any case. */
const QUIET_MS = 100;
const DRAIN_LIMIT_MS = 30_000;
const POLL_MS = 20;

export interface MessageStreamOptions<I extends DescMessage, O extends DescMessage> {
  readonly connection: Connection;
  readonly method: DescMethodBiDiStreaming<I, O>;
  /** What is sent first. */
  readonly first?: MessageInitShape<I>;
  /** Most messages that are handled at the same time; 1 keeps their order. */
  readonly concurrency: number;
  /** For log lines. */
  readonly label: string;
  readonly clock: Clock;
  readonly log: Logger;
  /** Handles a message; the result is sent back. `undefined`: no answer. Never rejects. */
  handle(message: MessageShape<O>, signal: AbortSignal): Promise<MessageInitShape<I> | undefined>;
  /** Answer to a message that comes while closing. */
  refuse?(message: MessageShape<O>): MessageInitShape<I>;
}

export interface MessageStream {
  /** Resolves once nothing has come for a moment: what a paused component had handed over has been handled. */
  drained(): Promise<void>;
  close(): Promise<void>;
}

/** Opens the stream; rejects when that fails the first time. */
export async function openMessageStream<I extends DescMessage, O extends DescMessage>(
  options: MessageStreamOptions<I, O>,
): Promise<MessageStream> {
  const { connection, method, clock, log, label } = options;
  const ending = new AbortController();
  const running = new Set<Promise<void>>();
  let closing = false;
  let closed: Promise<void> | undefined;
  let current: OpenStream<I, O> | undefined;
  let lastMessageMs = Number.NEGATIVE_INFINITY;
  let { generation } = connection;
  let waitMs = FIRST_WAIT_MS;

  const open = async (): Promise<OpenStream<I, O>> => {
    const stream = await connection.open(method, ending.signal);
    current = stream;
    log.debug(`the stream of ${label} is open`);
    ({ generation } = connection);
    if (options.first !== undefined) void stream.send(options.first);
    return stream;
  };
  const take = async (
    stream: OpenStream<I, O>,
    message: MessageShape<O>,
    signal: AbortSignal,
  ): Promise<void> => {
    const answer = await options.handle(message, signal);
    // Without the stream nobody waits for the answer: the component hands the message over again.
    if (answer !== undefined && !signal.aborted) await stream.send(answer);
  };
  /** Takes messages until the stream ends; resolves with how it ended. */
  const read = async (stream: OpenStream<I, O>): Promise<unknown> => {
    const alive = new AbortController();
    try {
      for await (const message of stream.messages) {
        waitMs = FIRST_WAIT_MS;
        lastMessageMs = clock.monotonicMs();
        if (closing) {
          if (options.refuse !== undefined) void stream.send(options.refuse(message));
          continue;
        }
        const work = take(stream, message, alive.signal).finally(() => {
          running.delete(work);
          lastMessageMs = clock.monotonicMs();
        });
        running.add(work);
        if (running.size >= options.concurrency) await Promise.race(running);
      }
      return undefined;
    } catch (error) {
      return error;
    } finally {
      alive.abort(new Error(`the stream of ${label} has ended`));
    }
  };
  /** What an ended stream asks for: waiting for another process of the component, or an end; false for the latter. */
  const ended = async (failure: unknown): Promise<boolean> => {
    if (failure === undefined) {
      // The component has nothing more to say; a new process of it may.
      log.debug(`the component has ended the stream of ${label}`);
      await connection.lost(generation, ending.signal);
      return true;
    }
    log.error(`Failed to receive messages of ${label}: ${errorText(remoteError(failure))}`);
    return !(failure instanceof GrpcStatusError && failure.code === GrpcCode.Unimplemented);
  };
  /** Opens the stream, again and again with growing waits; `undefined` when closing. */
  const reopen = async (): Promise<OpenStream<I, O> | undefined> => {
    while (!closing) {
      await clock.sleep(waitMs, ending.signal).catch(() => {});
      waitMs = Math.min(waitMs * FACTOR, LAST_WAIT_MS);
      if (closing) return undefined;
      try {
        const stream = await open();
        log.info(`the stream of ${label} is open again`);
        return stream;
      } catch (error) {
        log.debug(`the stream of ${label} cannot be opened: ${errorText(error)}`);
      }
    }
    return undefined;
  };
  const follow = async (first: OpenStream<I, O>): Promise<void> => {
    let stream: OpenStream<I, O> | undefined = first;
    while (stream !== undefined) {
      const failure = await read(stream);
      if (closing || !(await ended(failure))) return;
      stream = await reopen();
    }
  };

  let following: Promise<void>;
  const close = async (): Promise<void> => {
    closing = true;
    log.debug(`the stream of ${label} is closing`);
    const busy = running.size > 0;
    await Promise.all(running);
    // What the component hands over meanwhile is refused, or left unanswered where that would cost the message.
    if (busy) await clock.sleep(SETTLE_MS);
    const cancel = (): void => ending.abort(new Error('the stream is closed'));
    if (clock.monotonicMs() - lastMessageMs > 2 * SETTLE_MS) {
      cancel();
      await following;
      return;
    }
    // The last answers must arrive: the component may end the stream once it has them.
    current?.end();
    const settle = clock.startTimer(SETTLE_MS, cancel);
    await following;
    settle.cancel();
    cancel();
  };

  following = follow(await open());
  return {
    drained: async () => {
      const from = clock.monotonicMs();
      while (running.size > 0 || clock.monotonicMs() - Math.max(from, lastMessageMs) < QUIET_MS) {
        if (clock.monotonicMs() - from > DRAIN_LIMIT_MS) return;
        await clock.sleep(POLL_MS);
      }
    },
    close: () => {
      closed ??= close();
      return closed;
    },
  };
}

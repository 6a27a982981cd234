/** The streams that a relay keeps waiting at a node: each carries one call of the node, first come, first served. */

import type { ServerHttp2Stream } from 'node:http2';
import type { Clock } from '../contracts/clock.ts';
import { GrpcCode } from '../contracts/grpc-code.ts';
import { GrpcStatusError } from '../contracts/grpc-wire/status.ts';
import { abortStatus } from '../grpc-client/abort-status.ts';

export interface WaitingStreams {
  /** A stream that the relay opened. */
  add(stream: ServerHttp2Stream): void;
  /** A stream for one call; waits for a free one within limits. */
  take(signal: AbortSignal | undefined): Promise<ServerHttp2Stream>;
  /** Nobody waits any longer: the link is gone. */
  clear(error: GrpcStatusError): void;
}

/** Calls that wait for a stream; what comes on top is refused. */
const MAX_WAITERS = 1024;
const WAIT_LIMIT_MS = 5000;

interface Waiter {
  take(stream: ServerHttp2Stream): void;
  fail(error: GrpcStatusError): void;
}

export function createWaitingStreams(clock: Clock): WaitingStreams {
  const free = new Set<ServerHttp2Stream>();
  const waiters = new Set<Waiter>();

  const wait = (signal: AbortSignal | undefined): Promise<ServerHttp2Stream> =>
    new Promise((resolve, reject) => {
      const done = (): void => {
        waiters.delete(waiter);
        timer.cancel();
        signal?.removeEventListener('abort', aborted);
      };
      const waiter: Waiter = {
        take: (stream) => {
          done();
          resolve(stream);
        },
        fail: (error) => {
          done();
          reject(error);
        },
      };
      const aborted = (): void => waiter.fail(abortStatus(signal?.reason));
      const timer = clock.startTimer(
        WAIT_LIMIT_MS,
        () => waiter.fail(new GrpcStatusError(GrpcCode.ResourceExhausted, 'the relay takes no more calls')),
        true,
      );
      waiters.add(waiter);
      signal?.addEventListener('abort', aborted, { once: true });
    });

  return {
    add(stream) {
      const [waiter] = waiters;
      if (waiter !== undefined) {
        waiter.take(stream);
        return;
      }
      free.add(stream);
      stream.on('error', () => {});
      stream.once('close', () => free.delete(stream));
    },
    async take(signal) {
      if (signal?.aborted === true) throw abortStatus(signal.reason);
      for (const stream of free) {
        free.delete(stream);
        if (!stream.destroyed) return stream;
      }
      if (waiters.size >= MAX_WAITERS)
        throw new GrpcStatusError(GrpcCode.ResourceExhausted, 'too many calls wait for the relay');
      return await wait(signal);
    },
    clear(error) {
      free.clear();
      for (const waiter of [...waiters]) waiter.fail(error);
    },
  };
}

/**
 * Makes batches for bulk subscriptions of components that deliver one message at a time: a batch is full at
 * `maxMessages` or goes out `maxAwaitMs` after its first message. One batch is handled at a time, so order is kept; what
 * arrives meanwhile waits unacknowledged and is bounded by the component's own window.
 */

import type { Clock, Timer } from '../../contracts/clock.ts';
import type { BulkMessageHandler, IncomingMessage, MessageHandler } from '../../contracts/pubsub.ts';

export const DEFAULT_MAX_MESSAGES = 100;
export const DEFAULT_MAX_AWAIT_MS = 1000;

export interface BatchCollector {
  readonly handler: MessageHandler;
  /** Sends what waits without further delay, now and from here on. */
  flush(): void;
}

interface Waiting {
  readonly message: IncomingMessage;
  readonly signal: AbortSignal;
  readonly settle: (error: Error | undefined) => void;
}

export function createBatchCollector(options: {
  readonly maxMessages: number;
  readonly maxAwaitMs: number;
  readonly clock: Clock;
  readonly handle: BulkMessageHandler;
}): BatchCollector {
  const maxMessages = options.maxMessages > 0 ? options.maxMessages : DEFAULT_MAX_MESSAGES;
  const maxAwaitMs = options.maxAwaitMs > 0 ? options.maxAwaitMs : DEFAULT_MAX_AWAIT_MS;
  let waiting: Waiting[] = [];
  let timer: Timer | undefined;
  let due = false;
  let busy = false;
  let impatient = false;

  const send = async (batch: readonly Waiting[]): Promise<void> => {
    try {
      const signal = batch[0]?.signal as AbortSignal;
      const results = await options.handle(
        batch.map((entry) => entry.message),
        signal,
      );
      for (const [index, entry] of batch.entries()) entry.settle(results[index]);
    } catch (error) {
      const reason = error instanceof Error ? error : new Error(String(error));
      for (const entry of batch) entry.settle(reason);
    }
  };
  const pump = async (): Promise<void> => {
    if (busy) return;
    busy = true;
    while (waiting.length >= maxMessages || (waiting.length > 0 && (due || impatient))) {
      timer?.cancel();
      timer = undefined;
      due = false;
      const batch = waiting.slice(0, maxMessages);
      waiting = waiting.slice(maxMessages);
      if (waiting.length > 0) startTimer();
      await send(batch);
    }
    busy = false;
  };
  const startTimer = (): void => {
    timer = options.clock.startTimer(maxAwaitMs, () => {
      timer = undefined;
      due = true;
      void pump();
    });
  };

  return {
    handler: (message, signal) =>
      new Promise((resolve, reject) => {
        const settle = (error: Error | undefined): void => (error === undefined ? resolve() : reject(error));
        waiting.push({ message, signal, settle });
        if (waiting.length === 1 && timer === undefined) startTimer();
        void pump();
      }),
    flush: () => {
      impatient = true;
      void pump();
    },
  };
}

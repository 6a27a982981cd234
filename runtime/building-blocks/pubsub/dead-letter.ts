/**
 * Dead-letter topics: a message that cannot be delivered is published there as it was (bytes, metadata, content type),
 * within 30 s of its own, however much time the delivery took.
 */

import type { Clock } from '../../contracts/clock.ts';
import { errorText } from '../../contracts/error.ts';
import type { Logger } from '../../contracts/logger.ts';
import type { IncomingMessage } from '../../contracts/pubsub.ts';
import { PolicyTimeoutError } from '../../contracts/resiliency.ts';
import type { PublishRaw } from './publisher.ts';

export interface DeadLetters {
  /** Resolves with whether the message is now kept at `topic`; false also when no topic is set. */
  send(pubsubName: string, topic: string, message: IncomingMessage): Promise<boolean>;
}

const LIMIT_MS = 30_000;

export function createDeadLetters(deps: {
  readonly publishRaw: PublishRaw;
  readonly clock: Clock;
  readonly log: Logger;
}): DeadLetters {
  return {
    send: async (pubsubName, topic, message) => {
      if (topic === '') return false;
      const limit = new AbortController();
      const timer = deps.clock.startTimer(LIMIT_MS, () => limit.abort(new PolicyTimeoutError()));
      try {
        const { data, metadata, contentType } = message;
        const letter = { topic, data, metadata, ...(contentType === undefined ? {} : { contentType }) };
        await Promise.race([deps.publishRaw(pubsubName, letter, limit.signal), rejection(limit.signal)]);
        return true;
      } catch (error) {
        deps.log.error(
          `error sending message to dead letter, origin topic: ${message.topic} ` +
            `dead letter topic ${topic} err: ${errorText(error)}`,
        );
        return false;
      } finally {
        timer.cancel();
      }
    },
  };
}

/** Rejects when the signal aborts: a component that ignores its signal cannot hold the delivery up. */
function rejection(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
}

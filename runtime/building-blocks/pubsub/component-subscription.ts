/**
 * One subscription at one component: opened, retried for ever with growing waits while the component refuses, closed
 * after what is under way has been answered.
 */

import type { Clock, Timer } from '../../contracts/clock.ts';
import { errorText } from '../../contracts/error.ts';
import type { Logger } from '../../contracts/logger.ts';
import type { ComponentSubscription } from '../../contracts/pubsub.ts';

export interface KeptSubscription {
  /** Settles with the first attempt to open; rejects with its failure, which is retried unless closed. */
  readonly opened: Promise<void>;
  /** Ends it; an attempt to open that is still under way is not waited for, but undone when it succeeds. */
  close(): Promise<void>;
  /** Settles when no attempt to open is under way: only then may the same topic be opened again. */
  idle(): Promise<void>;
}

const FIRST_WAIT_MS = 500;
const LAST_WAIT_MS = 60_000;
const FACTOR = 1.5;

export interface KeptSubscriptionOptions {
  /** For log lines: `topic 't' of pubsub 'p'`. */
  readonly label: string;
  readonly clock: Clock;
  readonly log: Logger;
  /** Opens the subscription at the component. */
  open(): Promise<ComponentSubscription>;
  /** Runs beside closing at the component: lets deliveries end. */
  drain(): Promise<void>;
}

export function keepSubscription(options: KeptSubscriptionOptions): KeptSubscription {
  const { clock, log, label } = options;
  let closed: Promise<void> | undefined;
  let current: ComponentSubscription | undefined;
  let timer: Timer | undefined;
  let wait = FIRST_WAIT_MS;
  let attempt: Promise<void> = Promise.resolve();

  const closeQuietly = async (subscription: ComponentSubscription | undefined): Promise<void> => {
    try {
      await subscription?.close();
    } catch (error) {
      log.warn(`closing the subscription to ${label} failed: ${errorText(error)}`);
    }
  };
  const open = async (): Promise<void> => {
    try {
      const subscription = await options.open();
      if (closed === undefined) current = subscription;
      else await closeQuietly(subscription);
    } catch (error) {
      if (closed === undefined) {
        log.error(
          `Failed to start subscription to ${label}, trying again in ${Math.round(wait)}ms: ${errorText(error)}`,
        );
        timer = clock.startTimer(wait, openAgain, true);
        wait = Math.min(wait * FACTOR, LAST_WAIT_MS);
      }
      throw error;
    }
  };
  const openAgain = (): void => {
    attempt = open();
    attempt.then(
      () => {
        if (closed === undefined) log.info(`Successfully started subscription to ${label} after retry`);
      },
      () => {},
    );
  };
  const close = async (): Promise<void> => {
    timer?.cancel();
    const subscription = current;
    current = undefined;
    // The component stops handing over first; draining then bounds how long it waits for answers.
    await Promise.all([closeQuietly(subscription), options.drain()]);
  };

  attempt = open();
  const opened = attempt;
  opened.catch(() => {});
  return {
    opened,
    idle: () => attempt.catch(() => {}),
    close: () => {
      if (closed === undefined) {
        const { promise, resolve } = Promise.withResolvers<void>();
        closed = promise;
        close().then(resolve, resolve);
      }
      return closed;
    },
  };
}

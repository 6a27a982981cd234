/**
 * Asks the app for its subscriptions (HTTP reference, 8.1): once, under the built-in initialisation retries. When the
 * app could not answer (connection failure, 5xx) it is asked again in the background, ever less often, until it can.
 */

import type { AppChannel } from '../../contracts/app-channel.ts';
import type { Clock, Timer } from '../../contracts/clock.ts';
import { errorText } from '../../contracts/error.ts';
import type { Logger } from '../../contracts/logger.ts';
import type { Policies } from '../../contracts/resiliency.ts';
import type { ProgrammaticSubscription } from '../../contracts/resource.ts';
import { compileRules } from './routing-rules.ts';

export interface ProgrammaticSubscriptions {
  /** What the app answered; empty before. */
  readonly list: readonly ProgrammaticSubscription[];
  /** Asks unless the app has answered already; never rejects. */
  ask(): Promise<void>;
  /** Stops asking until the next `ask`. */
  stop(): void;
}

const FIRST_WAIT_MS = 5000;
const LAST_WAIT_MS = 60_000;
const INIT_RETRIES = 'DaprBuiltInInitializationRetries';

export function createProgrammaticSubscriptions(options: {
  readonly appChannel: () => AppChannel | undefined;
  readonly policies: Policies;
  readonly clock: Clock;
  readonly log: Logger;
  /** Called when an answer arrived in the background. */
  readonly answered: () => void;
}): ProgrammaticSubscriptions {
  const { log, clock } = options;
  let list: readonly ProgrammaticSubscription[] = [];
  let known = false;
  let asking: Promise<void> | undefined;
  let stopping = new AbortController();
  let timer: Timer | undefined;
  let wait = FIRST_WAIT_MS;

  const askOnce = async (): Promise<void> => {
    const channel = options.appChannel();
    if (channel === undefined) return;
    const { signal } = stopping;
    try {
      const answer = await options.policies
        .builtIn(INIT_RETRIES)
        .run((inner) => channel.subscriptions(inner), { signal });
      if (signal.aborted) return;
      list = answer.filter((item) => usable(item, log));
      known = true;
      const topics = list.map((item) => `${item.pubsubName}/${item.topic}`);
      if (topics.length > 0) log.info(`app is subscribed to the following topics: [${topics.join(' ')}]`);
    } catch (error) {
      if (signal.aborted) return;
      log.error(
        `could not read the subscriptions of the app, asking again in ${wait / 1000}s: ${errorText(error)}`,
      );
      timer = clock.startTimer(wait, () => void askAgain(), true);
      wait = Math.min(wait * 2, LAST_WAIT_MS);
    }
  };
  const ask = (): Promise<void> => {
    if (known) return Promise.resolve();
    timer?.cancel();
    timer = undefined;
    if (asking === undefined) {
      const current = askOnce().finally(() => {
        if (asking === current) asking = undefined;
      });
      asking = current;
    }
    return asking;
  };
  const askAgain = async (): Promise<void> => {
    await ask();
    if (known) options.answered();
  };

  return {
    get list() {
      return list;
    },
    ask,
    stop: () => {
      timer?.cancel();
      timer = undefined;
      stopping.abort(new Error('the app is not healthy'));
      stopping = new AbortController();
      asking = undefined;
      wait = FIRST_WAIT_MS;
    },
  };
}

/** Items without a route and items with a rule that does not compile are left out, each with a line that says so. */
function usable(item: ProgrammaticSubscription, log: Logger): boolean {
  const name = `subscription of the app to topic '${item.topic}' of pubsub '${item.pubsubName}'`;
  if (item.rules.length === 0) {
    log.warn(`${name} has an empty routes; removing from subscriptions list`);
    return false;
  }
  try {
    compileRules(item.rules);
    return true;
  } catch (error) {
    log.error(`${name} is left out: ${errorText(error)}`);
    return false;
  }
}

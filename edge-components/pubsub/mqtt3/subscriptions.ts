/** Which handler gets a message: the exact topic first, then the topic of a shared subscription, then patterns. */

import type { Clock } from '../../../runtime/contracts/clock.ts';
import type { IncomingMessage, MessageHandler } from '../../../runtime/contracts/pubsub.ts';
import { hasWildcard, matcher, sharedFilter } from '../../drivers/mqtt/topic.ts';

/** One subscription of the runtime and the handlers that run for it. */
export interface Subscription {
  readonly filter: string;
  run(message: IncomingMessage): Promise<void>;
  /** Resolves when no handler of it runs; those that take too long are aborted. */
  idle(): Promise<void>;
}

type Kind = 'exact' | 'shared' | 'pattern';

interface Known {
  readonly subscription: Subscription;
  readonly kind: Kind;
  readonly matches: (topic: string) => boolean;
}

const KINDS: readonly Kind[] = ['exact', 'shared', 'pattern'];

export class Subscriptions {
  readonly #clock: Clock;
  readonly #known: Known[] = [];
  /** Handlers by topic name as found before; emptied on every change. */
  #found = new Map<string, Subscription | undefined>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Every subscription that is open. */
  get all(): readonly Subscription[] {
    return this.#known.map((known) => known.subscription);
  }

  add(filter: string, handler: MessageHandler): Subscription {
    const shared = sharedFilter(filter)?.filter;
    const topic = shared ?? filter;
    const kind: Kind = hasWildcard(topic) ? 'pattern' : shared === undefined ? 'exact' : 'shared';
    const subscription = tracked(filter, handler, this.#clock);
    // The latest subscription of a topic is the one that counts.
    this.#known.unshift({ subscription, kind, matches: matcher(topic) });
    this.#found.clear();
    return subscription;
  }

  /** False when it was removed before. */
  remove(subscription: Subscription): boolean {
    const position = this.#known.findIndex((known) => known.subscription === subscription);
    if (position < 0) return false;
    this.#known.splice(position, 1);
    this.#found.clear();
    return true;
  }

  has(filter: string): boolean {
    return this.#known.some((known) => known.subscription.filter === filter);
  }

  find(topic: string): Subscription | undefined {
    if (this.#found.has(topic)) return this.#found.get(topic);
    const matching = this.#known.filter((known) => known.matches(topic));
    const best = KINDS.map((kind) => matching.find((known) => known.kind === kind)).find(
      (known) => known !== undefined,
    );
    if (this.#found.size >= MAX_FOUND) this.#found.clear();
    this.#found.set(topic, best?.subscription);
    return best?.subscription;
  }
}

const MAX_FOUND = 1000;
/** How long handlers may take to finish when their subscription closes. */
const GRACE_MS = 5000;

function tracked(filter: string, handler: MessageHandler, clock: Clock): Subscription {
  const stop = new AbortController();
  let running = 0;
  let waiting: (() => void)[] = [];
  const done = (): void => {
    running -= 1;
    if (running > 0) return;
    for (const resolve of waiting) resolve();
    waiting = [];
  };
  return {
    filter,
    run: async (message) => {
      running += 1;
      try {
        await handler(message, stop.signal);
      } finally {
        done();
      }
    },
    idle: async () => {
      if (running === 0) return;
      const patience = clock.startTimer(GRACE_MS, () => stop.abort(new Error('the subscription is closed')));
      await new Promise<void>((resolve) => waiting.push(resolve));
      patience.cancel();
    },
  };
}

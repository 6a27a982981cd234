/** Which handler gets a message: the exact topic first, then the topic of a shared subscription, then patterns. */

import type { Clock, Timer } from '../../../runtime/contracts/clock.ts';
import {
  type IncomingMessage,
  type MessageHandler,
  SubscriptionClosingError,
} from '../../../runtime/contracts/pubsub.ts';
import { hasWildcard, matcher, sharedFilter } from '../../drivers/mqtt/topic.ts';

/** One subscription of the runtime and the handlers that run for it. */
export interface Subscription {
  readonly filter: string;
  /** It waits until the earlier ones of its filter have ended what they have; nothing is handed to it before. */
  readonly held: boolean;
  run(message: IncomingMessage): Promise<void>;
  /** Resolves when no handler of it runs; those that take longer than `graceMs` are aborted. */
  idle(graceMs?: number): Promise<void>;
  /** Resolves when nothing runs for `earlier` any more, and `held` is over. */
  follow(earlier: readonly Subscription[]): Promise<void>;
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
  /** Removed, and their handlers still run. */
  readonly #leaving = new Set<Subscription>();
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
    this.#leaving.add(subscription);
    void subscription.idle().then(() => this.#leaving.delete(subscription));
    return true;
  }

  has(filter: string): boolean {
    return this.#known.some((known) => known.subscription.filter === filter);
  }

  /** Those of one filter that may have messages under way, also ones that were removed. */
  of(filter: string): readonly Subscription[] {
    return [...this.all, ...this.#leaving].filter((subscription) => subscription.filter === filter);
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
/** The same when a later subscription takes over: that of a stream whose client is gone never finishes. */
const FOLLOWED_GRACE_MS = 2000;

function tracked(filter: string, handler: MessageHandler, clock: Clock): Subscription {
  let stop = new AbortController();
  let running = 0;
  let waiting: (() => void)[] = [];
  let held = false;
  const done = (): void => {
    running -= 1;
    if (running > 0) return;
    for (const resolve of waiting) resolve();
    waiting = [];
  };
  const idle = async (graceMs = GRACE_MS): Promise<void> => {
    if (running === 0) return;
    const patience = clock.startTimer(graceMs, () => {
      stop.abort(new SubscriptionClosingError());
      // It may outlive the one that follows it.
      stop = new AbortController();
    });
    await new Promise<void>((resolve) => waiting.push(resolve));
    patience.cancel();
  };
  return {
    filter,
    get held() {
      return held;
    },
    run: async (message) => {
      const { signal } = stop;
      running += 1;
      try {
        await handler(message, signal);
      } catch (error) {
        // Given back, not failed: whoever is next gets it in its place.
        throw signal.aborted ? signal.reason : error;
      } finally {
        done();
      }
    },
    idle,
    follow: async (earlier) => {
      held = true;
      let late: Timer | undefined;
      await Promise.race([
        Promise.all(earlier.map((subscription) => subscription.idle(FOLLOWED_GRACE_MS))),
        new Promise<void>((resolve) => {
          late = clock.startTimer(2 * FOLLOWED_GRACE_MS, resolve, true);
        }),
      ]);
      late?.cancel();
      held = false;
    },
  };
}

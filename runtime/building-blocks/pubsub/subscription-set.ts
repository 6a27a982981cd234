/**
 * The subscriptions that are open at components, kept equal to what is wanted: what is no longer wanted, or changed, is
 * closed; what is missing is opened, after its predecessor has closed.
 */

import type { LoadedComponent } from '../../contracts/component-source.ts';
import { errorText } from '../../contracts/error.ts';
import type { Logger } from '../../contracts/logger.ts';
import type { KeptSubscription } from './component-subscription.ts';

export interface WantedSubscription {
  readonly component: LoadedComponent<'pubsub'>;
  /** Changes when the subscription has to be opened anew. */
  readonly signature: string;
  /** Throws when the subscription can never be opened as it is. */
  open(after: Promise<void> | undefined): KeptSubscription;
}

export interface SubscriptionSet {
  /** Resolves when all that is closing has closed and each new one was attempted once; never rejects. */
  reconcile(wanted: ReadonlyMap<string, WantedSubscription>): Promise<void>;
  /** Opens one at once; rejects when the first attempt fails. */
  open(key: string, wanted: WantedSubscription): Promise<void>;
  end(key: string): Promise<void>;
}

interface Running {
  readonly wanted: WantedSubscription;
  readonly kept: KeptSubscription;
}

export function createSubscriptionSet(log: Logger): SubscriptionSet {
  const running = new Map<string, Running>();
  /** `over` comes after `done`: an attempt to open that was under way has ended as well. */
  const closing = new Map<string, { readonly done: Promise<void>; readonly over: Promise<void> }>();
  /** Signatures of those that cannot be opened as they are, to say so once. */
  const refused = new Map<string, string>();

  const stop = (key: string, { kept }: Running): Promise<void> => {
    running.delete(key);
    const done = kept.close();
    const entry = { done, over: done.then(() => kept.idle()) };
    closing.set(key, entry);
    void entry.over.then(() => {
      if (closing.get(key) === entry) closing.delete(key);
    });
    return done;
  };
  const open: SubscriptionSet['open'] = async (key, wanted) => {
    if (refused.get(key) === wanted.signature) return;
    let kept: KeptSubscription;
    try {
      kept = wanted.open(closing.get(key)?.over);
    } catch (error) {
      refused.set(key, wanted.signature);
      log.error(`a subscription is not started: ${errorText(error)}`);
      throw error;
    }
    refused.delete(key);
    running.set(key, { wanted, kept });
    await kept.opened;
  };
  const unchanged = ({ wanted }: Running, now: WantedSubscription | undefined): boolean =>
    now?.component === wanted.component && now.signature === wanted.signature;

  return {
    reconcile: async (wanted) => {
      const stale = [...running].filter(([key, entry]) => !unchanged(entry, wanted.get(key)));
      const work = stale.map(([key, entry]) => stop(key, entry));
      for (const key of refused.keys()) if (!wanted.has(key)) refused.delete(key);
      for (const [key, want] of wanted) if (!running.has(key)) work.push(open(key, want));
      await Promise.allSettled([...work, ...[...closing.values()].map((entry) => entry.done)]);
    },
    open,
    end: async (key) => {
      const entry = running.get(key);
      refused.delete(key);
      await (entry === undefined ? closing.get(key)?.done : stop(key, entry));
    },
  };
}

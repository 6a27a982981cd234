/** A token bucket per key, in a table of bounded size. Buckets that are full again need not be remembered. */

import type { Clock } from '../../../runtime/contracts/clock.ts';

interface Bucket {
  tokens: number;
  /** Monotonic time up to which `tokens` is counted. */
  at: number;
}

export interface TokenBuckets {
  /** Takes one token of `key`; `left` are the whole ones that remain. */
  take(key: string): { readonly taken: boolean; readonly left: number };
  readonly size: number;
}

/** At most `maxKeys` buckets; beyond that the one that was used least recently is forgotten. */
export function createTokenBuckets(perSecond: number, clock: Clock, maxKeys = 10_000): TokenBuckets {
  const burst = Math.max(1, Math.floor(perSecond));
  const buckets = new Map<string, Bucket>();
  return {
    get size() {
      return buckets.size;
    },
    take: (key) => {
      const now = clock.monotonicMs();
      const bucket = buckets.get(key) ?? { tokens: burst, at: now };
      bucket.tokens = Math.min(burst, bucket.tokens + ((now - bucket.at) / 1000) * perSecond);
      bucket.at = now;
      // A map keeps the order of insertion: the first key is the one used least recently.
      buckets.delete(key);
      buckets.set(key, bucket);
      if (buckets.size > maxKeys) buckets.delete(buckets.keys().next().value ?? key);
      const taken = bucket.tokens >= 1;
      if (taken) bucket.tokens -= 1;
      return { taken, left: Math.floor(bucket.tokens) };
    },
  };
}

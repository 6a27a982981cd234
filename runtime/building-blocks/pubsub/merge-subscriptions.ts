/**
 * The subscriptions of an app from all sources as one list (HTTP reference, 8.2): for the same component and topic a
 * programmatic one replaces a declarative one, the first declarative and the last programmatic one count.
 */

import type { SubscriptionInfo } from '../../contracts/blocks.ts';
import type { ProgrammaticSubscription } from '../../contracts/resource.ts';

export interface MergedSubscription {
  readonly key: string;
  readonly type: 'DECLARATIVE' | 'PROGRAMMATIC';
  readonly spec: ProgrammaticSubscription;
}

export function mergeSubscriptions(
  declarative: readonly ProgrammaticSubscription[],
  programmatic: readonly ProgrammaticSubscription[],
): readonly MergedSubscription[] {
  const merged = new Map<string, MergedSubscription>();
  for (const spec of declarative) {
    const key = subscriptionKey(spec);
    if (!merged.has(key)) merged.set(key, { key, type: 'DECLARATIVE', spec });
  }
  for (const spec of programmatic) {
    const key = subscriptionKey(spec);
    merged.set(key, { key, type: 'PROGRAMMATIC', spec });
  }
  return [...merged.values()];
}

export function subscriptionInfo(
  spec: ProgrammaticSubscription,
  type: SubscriptionInfo['type'],
): SubscriptionInfo {
  const { pubsubName, topic, metadata, rules, deadLetterTopic } = spec;
  return { pubsubName, topic, metadata, rules, deadLetterTopic, type };
}

function subscriptionKey(spec: ProgrammaticSubscription): string {
  return `${spec.pubsubName}||${spec.topic}`;
}

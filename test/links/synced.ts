/** What a `Sync` carries in the world of a link: topics up (straight, and through a queue of the flow) and down, keys of every rule. */

import { component, subscription } from '../integration/support/resource-files.ts';
import type { Side } from './link.ts';

/** Topics of the same names on both sides. */
export const SYNCED_TOPICS = ['sync-up', 'sync-queued', 'sync-down'] as const;

export const SYNCED_UP = ['sync-up', 'sync-queued'] as const;

export interface SyncedKey {
  readonly key: string;
  readonly rule: 'last-write' | 'edge-wins' | 'cloud-wins' | 'merge' | 'ask' | 'one-way';
  /** Who writes it. */
  readonly writers: readonly Side[];
}

const BOTH: readonly Side[] = ['edge', 'cloud'];

export const SYNCED_KEYS: readonly SyncedKey[] = [
  { key: 'sync-last', rule: 'last-write', writers: BOTH },
  { key: 'sync-edge', rule: 'edge-wins', writers: BOTH },
  { key: 'sync-cloud', rule: 'cloud-wins', writers: BOTH },
  { key: 'sync-merge', rule: 'merge', writers: BOTH },
  { key: 'sync-ask', rule: 'ask', writers: BOTH },
  { key: 'sensor-1', rule: 'one-way', writers: ['edge'] },
  { key: 'setpoint', rule: 'one-way', writers: ['cloud'] },
];

/** Where a side's apps find the synced keys. */
export const SYNCED_STORE: Readonly<Record<Side, string>> = { edge: 'plant', cloud: 'statestore' };
export const LOCAL_PUBSUB = 'local';
const POLL = '300ms';

/** `far` is how components of the edge reach the cloud; its pub/sub is `pubsub` there. */
export function syncedAtEdge(far: Readonly<Record<string, string>>, down: boolean): readonly string[] {
  const topic = (name: string) => ({
    local: { pubsub: LOCAL_PUBSUB, topic: name },
    remote: { pubsub: 'pubsub', topic: name },
  });
  const stores = { local: SYNCED_STORE.edge, remote: 'far-state' };
  const spec = {
    conflictTopic: { pubsub: LOCAL_PUBSUB, topic: 'conflicts' },
    topics: [
      { name: 'up', direction: 'up', ...topic('sync-up') },
      { name: 'queued', direction: 'up', ttl: '1h', ...topic('sync-queued') },
      ...(down ? [{ name: 'down', direction: 'down', ...topic('sync-down') }] : []),
    ],
    state: [
      ...SYNCED_KEYS.filter(({ rule }) => rule !== 'one-way').map(({ key, rule }) => ({
        name: rule,
        direction: 'both',
        conflict: rule,
        pollInterval: POLL,
        ...stores,
        keys: [key],
      })),
      { name: 'sensors', direction: 'up', ...stores, keyPrefixes: ['sensor-'] },
      { name: 'setpoint', direction: 'down', pollInterval: POLL, ...stores, keys: ['setpoint'] },
    ],
  };
  return [
    component(LOCAL_PUBSUB, 'pubsub.mqtt3', {
      url: 'embedded:',
      qos: '1',
      consumerID: 'edge',
      cleanSession: 'false',
    }),
    component(SYNCED_STORE.edge, 'state.sqlite', {}),
    component('far-state', 'state.dapr', { ...far, remoteName: SYNCED_STORE.cloud }),
    ...(down ? [subscription('sync-down', LOCAL_PUBSUB, 'sync-down', '/sync-down')] : []),
    subscription('conflicts', LOCAL_PUBSUB, 'conflicts', '/conflicts'),
    JSON.stringify({ apiVersion: 'skerry.dev/v1alpha1', kind: 'Sync', metadata: { name: 'plant' }, spec }),
  ];
}

/** What goes up, as the cloud's app subscribes to it. */
export const syncedAtCloud = (): readonly string[] =>
  SYNCED_UP.map((topic) => subscription(topic, 'pubsub', topic, `/${topic}`));

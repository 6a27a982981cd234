/** A topic flow: one or two lanes, and how they stand together. */

import type { TopicFlowSpec } from '../../contracts/resource.ts';
import type { SpoolCounts } from '../../contracts/spool.ts';
import type { LinkState, SyncFlowStatus } from '../../contracts/sync-status.ts';
import type { SharedParts } from './deps.ts';
import { flowStatus } from './flow-status.ts';
import { createLane } from './topic-lane.ts';

/** What the block does with every flow. */
export interface Flow {
  readonly name: string;
  /** Starts what needs no app: resolves when its changes are noted and its topics subscribed. */
  start(): Promise<void>;
  /** Starts what the app has to see. */
  appReady(): Promise<void>;
  componentChanged(category: string, name: string): void;
  /** Tries again at once. */
  wake(): void;
  status(): Promise<SyncFlowStatus>;
  close(): Promise<void>;
}

export function createTopicFlow(spec: TopicFlowSpec, name: string, mark: string, parts: SharedParts): Flow {
  const ways = spec.direction === 'both' ? (['up', 'down'] as const) : [spec.direction];
  const lanes = ways.map((way) => ({ way, lane: createLane({ spec, name, way, mark }, parts) }));
  const of = (way: 'up' | 'down') => lanes.filter((entry) => entry.way === way).map(({ lane }) => lane);
  return {
    name,
    start: async () => {
      await Promise.all(of('up').map((lane) => lane.start()));
    },
    appReady: async () => {
      await Promise.all(of('down').map((lane) => lane.start()));
    },
    componentChanged: (category, changed) => {
      if (category === 'pubsub') for (const { lane } of lanes) lane.componentChanged(changed);
    },
    wake: () => {
      for (const { lane } of lanes) lane.wake();
    },
    status: async () => {
      const counts = (await Promise.all(lanes.map(({ lane }) => lane.counts()))).filter(
        (count): count is SpoolCounts => count !== undefined,
      );
      const oldest = counts.flatMap(({ oldestAcceptedAt }) => oldestAcceptedAt ?? []);
      const failing = counts.find(({ pending, lastError }) => pending > 0 && lastError !== undefined);
      const sum = (pick: (count: SpoolCounts) => number): number =>
        counts.reduce((total, count) => total + pick(count), 0);
      const told = lanes.map(({ lane }) => lane.link());
      const worst = told.find(({ state }) => state === 'parked' || state === 'down') ?? told[0];
      const state = worst?.state ?? 'unknown';
      return flowStatus({
        name,
        spec,
        local: `${spec.local.pubsub}/${spec.local.topic}`,
        remote: `${spec.remote.pubsub}/${spec.remote.topic}`,
        link: linkOf(state, failing !== undefined, sum(({ delivered }) => delivered) > 0),
        reason: worst?.reason ?? failing?.lastError,
        lastContact: told.map(({ lastContact }) => lastContact).find((at) => at !== undefined),
        lag: {
          messages: sum(({ pending }) => pending),
          bytes: sum(({ pendingBytes }) => pendingBytes),
          oldest: oldest.length === 0 ? undefined : Math.min(...oldest),
        },
        conflicts: 0,
        refused: sum(({ parked }) => parked),
        parts,
      });
    },
    close: async () => {
      await Promise.all(lanes.map(({ lane }) => lane.close()));
    },
  };
}

/** A queue that fails has no link; one that delivered and has nothing left to fail with had one. */
function linkOf(state: LinkState, failing: boolean, delivered: boolean): LinkState {
  if (failing && (state === 'unknown' || state === 'up')) return 'down';
  return state === 'unknown' && delivered ? 'up' : state;
}

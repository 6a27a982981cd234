/** What the flows of a sidecar stand on. */

import type { Clock } from '../../contracts/clock.ts';
import type { ComponentSource, LoadedComponent } from '../../contracts/component-source.ts';
import type { DatabasePool } from '../../contracts/database.ts';
import type { Ids } from '../../contracts/ids.ts';
import type { Logger } from '../../contracts/logger.ts';
import type { Metrics } from '../../contracts/metrics.ts';
import type { PubSub } from '../../contracts/pubsub.ts';
import type { Random } from '../../contracts/random.ts';
import type { SpoolSource } from '../../contracts/spool.ts';
import type { Publishing } from '../pubsub/publish.ts';
import type { Returns } from './returns.ts';
import type { Turns } from './turns.ts';
import type { Usage } from './usage.ts';

/** A pub/sub component for subscriptions that are not the app's. */
export interface EventSource {
  readonly instance: PubSub;
  /** Gives it back; the shared instance of a component stays open. */
  close(): Promise<void>;
}

export interface SyncDeps {
  readonly appId: string;
  /** `NAMESPACE`, empty when it is not set. */
  readonly namespace: string;
  readonly components: ComponentSource;
  readonly publish: Pick<Publishing, 'publishRaw' | 'scopesOf'>;
  /**
   * Where to subscribe: an instance of its own where the component's session knows one subscriber per topic (MQTT), else
   * the component's.
   */
  readonly sourceOf: (
    component: LoadedComponent<'pubsub'>,
    /** Short name of the subscriber, the same after a restart. */
    subscriber: string,
    signal: AbortSignal,
  ) => Promise<EventSource>;
  /** Random bytes that are this data folder's alone: tells nodes apart that have the same names. */
  readonly nodeKey: () => Promise<Uint8Array>;
  readonly databases: DatabasePool;
  readonly spools: SpoolSource;
  readonly clock: Clock;
  readonly ids: Ids;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics: Metrics;
}

/** What the flows of one sidecar share. */
export interface SharedParts extends SyncDeps {
  readonly usage: Usage;
  readonly turns: Turns;
  readonly returns: Returns;
  /** Short name of this node, the same after a restart. */
  readonly nodeMark: string;
  /** Aborts when the sidecar closes. */
  readonly closing: AbortSignal;
}

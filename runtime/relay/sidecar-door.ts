/**
 * Where calls of nodes end at the sidecar beside the relay: what it offers, what all nodes together may have under way, and
 * the record of what was refused.
 */

import type { Clock } from '../contracts/clock.ts';
import type { Logger } from '../contracts/logger.ts';
import type { Metrics } from '../contracts/metrics.ts';
import type { RelayedAnswer } from '../contracts/relayed-sidecar.ts';
import type { Keepers } from './keepers.ts';
import type { NodeCall } from './node-call.ts';
import { PACKING } from './packing.ts';
import type { SidecarOffer } from './protocol.ts';
import type { SidecarRequest } from './sidecar-message.ts';
import type { Asked } from './sidecar-operations.ts';
import type { AllowList } from './sidecar-rules.ts';
import type { FarSubscriptions } from './sidecar-subscription.ts';
import { createVisit, type Visit, type Visitor } from './sidecar-visit.ts';

/** Sends a request that was let through; rejects when nobody is there. */
export type AskSidecar = (
  request: SidecarRequest,
  asked: Asked,
  as: { readonly node: string; readonly appId: string },
  signal: AbortSignal,
) => Promise<RelayedAnswer>;

export interface SidecarDoorOptions {
  readonly allowed: AllowList;
  readonly ask?: AskSidecar | undefined;
  readonly subscriptions?: FarSubscriptions | undefined;
  readonly keepers: Keepers;
  readonly maxMessageBytes: number;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
}

export interface SidecarDoor {
  readonly offer: SidecarOffer;
  /** A link whose node asks. */
  enter(visitor: Visitor): Visit;
  close(): void;
}

/** Requests of all nodes that are under way at the sidecar. */
const MAX_REQUESTS = 2048;
const REFUSAL_LOG_MS = 1000;

export function createSidecarDoor(options: SidecarDoorOptions): SidecarDoor {
  const { ask, subscriptions, clock, log, metrics } = options;
  let underWay = 0;
  let nextLogMs = 0;
  let untold = 0;

  /** A node may be refused as often as it likes; the log hears of it once in a while. */
  const refused = (visitor: Visitor, call: NodeCall, what: string): void => {
    metrics.count('skerry_relay_refused_total', { reason: 'sidecar' });
    if (clock.monotonicMs() < nextLogMs) {
      untold += 1;
      return;
    }
    nextLogMs = clock.monotonicMs() + REFUSAL_LOG_MS;
    log.warn('a node asked the sidecar for what it may not', {
      node: visitor.name,
      app_id: call.caller,
      asked: what.slice(0, 200),
      ...(untold === 0 ? {} : { more: untold }),
    });
    untold = 0;
  };

  return {
    offer: { http: ask !== undefined, subscribe: subscriptions !== undefined, packings: [PACKING] },
    enter: (visitor) =>
      createVisit(visitor, {
        ...options,
        refused,
        ask:
          ask &&
          (async (...request) => {
            underWay += 1;
            try {
              return await ask(...request);
            } finally {
              underWay -= 1;
            }
          }),
        isFull: () => underWay >= MAX_REQUESTS,
      }),
    close: () => options.keepers.close(),
  };
}

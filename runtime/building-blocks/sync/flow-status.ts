/** The status of one flow in its published form, and the gauges that say the same. */

import type { SyncFlowSpec } from '../../contracts/resource.ts';
import type { LinkState, SyncFlowStatus } from '../../contracts/sync-status.ts';
import type { SharedParts } from './deps.ts';

export interface FlowFacts {
  readonly name: string;
  readonly spec: SyncFlowSpec;
  readonly local: string;
  readonly remote: string;
  readonly link: LinkState;
  readonly reason: string | undefined;
  /** Wall clock, milliseconds. */
  readonly lastContact: number | undefined;
  readonly lag: { readonly messages: number; readonly bytes: number; readonly oldest: number | undefined };
  readonly conflicts: number;
  readonly refused: number;
  readonly parts: Pick<SharedParts, 'clock' | 'usage' | 'metrics'>;
}

export function flowStatus(facts: FlowFacts): SyncFlowStatus {
  const { name, spec, lag, lastContact, reason, link, parts } = facts;
  const { bytes, messages } = parts.usage.today(name);
  const seconds =
    lag.oldest === undefined || lag.messages === 0
      ? 0
      : Math.max(0, Math.round((parts.clock.now() - lag.oldest) / 1000));
  const labels = { flow: name };
  parts.metrics.gauge('sync_lag_messages', labels, lag.messages);
  parts.metrics.gauge('sync_lag_bytes', labels, lag.bytes);
  parts.metrics.gauge('sync_lag_seconds', labels, seconds);
  parts.metrics.gauge('sync_link_up', labels, link === 'up' ? 1 : 0);
  return {
    name,
    kind: spec.kind,
    direction: spec.direction,
    local: facts.local,
    remote: facts.remote,
    link,
    ...(reason === undefined ? {} : { reason }),
    lag: { messages: lag.messages, bytes: lag.bytes, seconds },
    conflicts: facts.conflicts,
    refused: facts.refused,
    ...(lastContact === undefined
      ? {}
      : { lastContact: Temporal.Instant.fromEpochMilliseconds(lastContact).toString() }),
    bytesToday: bytes,
    messagesToday: messages,
  };
}

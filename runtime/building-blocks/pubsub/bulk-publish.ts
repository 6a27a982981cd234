/**
 * Bulk publish (HTTP reference, 7.7): every entry is wrapped as a single message would be, under a span of its own. The
 * component's native bulk call is used where it has one, otherwise up to 100 single publishes run side by side. When a
 * policy retries, only the entries that failed are sent again.
 */

import type { BulkPublishEntry, BulkPublishResult, PublishBlock, StringMap } from '../../contracts/blocks.ts';
import type { CallContext } from '../../contracts/call-context.ts';
import type { Clock } from '../../contracts/clock.ts';
import { CLOUD_EVENTS_JSON } from '../../contracts/cloud-event.ts';
import { errorText, runtimeError } from '../../contracts/error.ts';
import type { Metrics } from '../../contracts/metrics.ts';
import type { BulkEntry, BulkFailure, PubSub } from '../../contracts/pubsub.ts';
import { remoteStatus } from '../../contracts/remote-error.ts';
import type { Policies } from '../../contracts/resiliency.ts';
import type { Span } from '../../contracts/trace.ts';
import { mapConcurrently } from './map-concurrently.ts';
import type { CheckedPublish, Wrap } from './publish.ts';
import type { Publisher } from './publisher.ts';

export interface BulkPublishOptions {
  readonly appId: string;
  readonly namespace: string;
  readonly policies: Policies;
  readonly clock: Clock;
  readonly metrics: Metrics;
  readonly publisher: Publisher;
  readonly wrap: Wrap;
  check(pubsubName: string, topic: string, metadata: StringMap): CheckedPublish;
}

const MAX_PARALLEL = 100;
const NO_METADATA: StringMap = {};

export function createBulkPublish(options: BulkPublishOptions): PublishBlock['bulkPublish'] {
  const { namespace, clock, metrics } = options;

  /** Sends `entries`, again and again as the policy says; gives those that never got through. */
  const send = async (
    pubsubName: string,
    instance: PubSub,
    topic: string,
    entries: readonly BulkEntry[],
    metadata: StringMap,
    { signal, protocol }: CallContext,
  ): Promise<readonly BulkFailure[]> => {
    let remaining = entries;
    const attempt = async (inner: AbortSignal): Promise<readonly BulkFailure[]> => {
      const failures = await sendOnce(instance, topic, remaining, metadata, inner);
      const failed = new Set(failures.map((failure) => failure.entryId));
      remaining = remaining.filter((entry) => failed.has(entry.entryId));
      return failures;
    };
    const policy = options.policies.componentOutbound(pubsubName, 'Pubsub');
    try {
      if (!policy.active) return await attempt(signal);
      return await policy.run(attempt, {
        signal,
        failed: (failures) =>
          failures.length > 0 ? (remoteStatus(failures[0]?.error, protocol) ?? {}) : undefined,
        status: (error) => remoteStatus(error, protocol),
      });
    } catch (error) {
      const cause = error instanceof Error ? error : new Error(String(error));
      return remaining.map(({ entryId }) => ({ entryId, error: cause }));
    }
  };

  return async (pubsubName, topic, entries, metadata, call): Promise<BulkPublishResult> => {
    const { component, raw } = options.check(pubsubName, topic, metadata);
    requireUniqueIds(pubsubName, topic, entries, options.appId);
    const spans: Span[] = [];
    try {
      const ready = entries.map((entry): BulkEntry => {
        // Dapr gives an entry without metadata of its own none of the request's: they go to the component only.
        const own = entry.metadata === undefined ? NO_METADATA : { ...metadata, ...entry.metadata };
        const { entryId, contentType } = entry;
        if (raw) return { entryId, data: entry.event, contentType, metadata: own };
        const span = call.span.child(entrySpanName(call), 'producer');
        spans.push(span);
        const request = { pubsubName, topic, data: entry.event, contentType, metadata: own };
        const data = options.wrap(component, request, span);
        return { entryId, data, contentType: CLOUD_EVENTS_JSON, metadata: own };
      });
      const { component: target, scopes } = options.publisher.target(pubsubName, topic);
      const started = clock.monotonicMs();
      const failures =
        ready.length === 0
          ? []
          : await send(pubsubName, target.instance, scopes.brokerTopic(topic), ready, metadata, call);
      const labels = { component: pubsubName, namespace, success: String(failures.length === 0), topic };
      metrics.count('component_pubsub_egress_bulk_count', labels);
      metrics.observe('component_pubsub_egress_bulk_latencies', labels, clock.monotonicMs() - started);
      return bulkResult(failures, ready.length);
    } finally {
      for (const span of spans) span.end();
    }
  };
}

/** Entries are named after the call that brought them, over gRPC with a slash behind, as Dapr names them. */
function entrySpanName({ span, protocol }: CallContext): string {
  const name = span.name ?? 'bulk publish';
  return protocol === 'grpc' ? `${name}/` : name;
}

function requireUniqueIds(
  pubsub: string,
  topic: string,
  entries: readonly BulkPublishEntry[],
  appId: string,
): void {
  const ids = new Set<string>();
  for (const { entryId } of entries) {
    if (entryId === '' || ids.has(entryId)) {
      const error = 'entryId is duplicated or not present for entry';
      throw runtimeError('pubsubMarshalEvents', { pubsub, topic, error }, { info: { appID: appId, error } });
    }
    ids.add(entryId);
  }
}

async function sendOnce(
  instance: PubSub,
  topic: string,
  entries: readonly BulkEntry[],
  metadata: StringMap,
  signal: AbortSignal,
): Promise<readonly BulkFailure[]> {
  if (instance.bulkPublish !== undefined) return instance.bulkPublish(topic, entries, metadata, signal);
  const outcomes = await mapConcurrently(entries, MAX_PARALLEL, async (entry) => {
    try {
      const { data, contentType } = entry;
      await instance.publish({ topic, data, contentType, metadata: entry.metadata }, signal);
      return undefined;
    } catch (error) {
      return { entryId: entry.entryId, error: error instanceof Error ? error : new Error(String(error)) };
    }
  });
  return outcomes.filter((outcome) => outcome !== undefined);
}

function bulkResult(failures: readonly BulkFailure[], count: number): BulkPublishResult {
  const failedEntries = failures.map(({ entryId, error }) => ({ entryId, error: errorText(error) }));
  const whole = failures.length > 0 && failures.length === count;
  return whole ? { failedEntries, error: failedEntries[0]?.error ?? '' } : { failedEntries };
}

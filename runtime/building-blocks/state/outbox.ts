/**
 * The transactional outbox (HTTP reference, 6.10; components reference, section 11). A transaction is announced on an
 * internal topic before it is written, and written together with one marker per event; whoever receives the announcement
 * publishes the event once it has seen the marker. At least once: a marker that cannot be removed stays, an event whose
 * receipt was lost comes again.
 *
 * Markers are looked for as Dapr does (1 s after receipt, then with growing waits for 10 s), except for transactions of
 * this very process: their outcome is known, so their events neither wait nor hold up others.
 */

import type { StateTransactionOperation, StringMap } from '../../contracts/blocks.ts';
import type { CallContext } from '../../contracts/call-context.ts';
import type { Clock } from '../../contracts/clock.ts';
import { CLOUD_EVENTS_JSON, mediaType } from '../../contracts/cloud-event.ts';
import {
  type ComponentSource,
  type LoadedComponent,
  metadataItem,
} from '../../contracts/component-source.ts';
import { errorText, runtimeError } from '../../contracts/error.ts';
import type { Ids } from '../../contracts/ids.ts';
import type { Logger } from '../../contracts/logger.ts';
import { isTruthy } from '../../contracts/metadata.ts';
import type { MessageHandler, PublishMessage } from '../../contracts/pubsub.ts';
import { EtagError, type SetStateRequest, type StateValue } from '../../contracts/state-store.ts';
import type { Span } from '../../contracts/trace.ts';
import { createOutboxConsumer } from './outbox-consumer.ts';
import type { Outbox } from './transaction.ts';

/** What the outbox needs of publish and subscribe. */
export interface OutboxMessaging {
  publishRaw(pubsubName: string, message: PublishMessage, signal: AbortSignal): Promise<void>;
  readyEvent(
    event: {
      readonly id: string;
      readonly pubsubName: string;
      readonly topic: string;
      readonly data: Uint8Array;
      readonly contentType: string;
      readonly attributes: StringMap;
    },
    span: Span,
  ): Uint8Array;
  redirectEvent(envelope: Uint8Array, pubsubName: string, topic: string): Uint8Array;
  subscribeInternal(
    pubsubName: string,
    topic: string,
    handler: MessageHandler,
  ): Promise<{ close(): Promise<void> }>;
}

export interface OutboxOptions {
  readonly appId: string;
  /** `default` when `NAMESPACE` is not set: part of the internal topic's name. */
  readonly namespace: string;
  readonly components: ComponentSource;
  readonly messaging: OutboxMessaging;
  readonly clock: Clock;
  readonly ids: Ids;
  readonly log: Logger;
}

/** Settings of a store with an outbox. */
export interface OutboxSettings {
  readonly publishPubsub: string;
  readonly publishTopic: string;
  /** Pub/sub component and topic of the announcements. */
  readonly internalPubsub: string;
  readonly internalTopic: string;
  readonly discardWhenMissing: boolean;
}

/** How a transaction of this process ended; `unknown`: the store failed and may have written all the same. */
export type Outcome = 'committed' | 'refused' | 'unknown';

/** A transaction of this process that was announced. */
export interface Announced {
  readonly outcome: Promise<Outcome>;
}

/** Most announcements whose outcome is remembered until their receipt; the oldest give way. */
const MAX_REMEMBERED = 4096;
const PROJECTION = 'outbox.projection';
const MARKER_VALUE: StateValue = { bytes: Buffer.from('"0"'), json: true };
const NO_OPTIONS = { concurrency: '', consistency: '' };

export function createOutbox(
  options: OutboxOptions,
): Outbox & { start(): Promise<void>; close(): Promise<void> } {
  const { messaging, ids } = options;
  const settingsOf = createSettings(options);
  const announced = new Map<string, Announced>();
  const consumer = createOutboxConsumer({
    ...options,
    settingsOf,
    takeAnnounced: (id) => {
      const found = announced.get(id);
      announced.delete(id);
      return found;
    },
  });

  const remember = (id: string, entry: Announced): void => {
    announced.set(id, entry);
    if (announced.size <= MAX_REMEMBERED) return;
    for (const oldest of announced.keys()) {
      announced.delete(oldest);
      break;
    }
  };
  /** Announces one event; resolves with its marker. */
  const announce = async (
    settings: OutboxSettings,
    id: string,
    subject: Upsert,
    call: CallContext,
  ): Promise<SetStateRequest> => {
    const contentType = contentTypeOf(subject.shown);
    const event = messaging.readyEvent(
      {
        id,
        pubsubName: settings.internalPubsub,
        topic: '',
        data: eventData(subject.shown.item.value, contentType),
        contentType,
        attributes: subject.written.item.metadata,
      },
      call.span,
    );
    const { internalPubsub, internalTopic: topic } = settings;
    const message = { topic, data: event, contentType: CLOUD_EVENTS_JSON, metadata: {} };
    await messaging.publishRaw(internalPubsub, message, call.signal);
    return { kind: 'upsert', key: id, value: MARKER_VALUE, options: NO_OPTIONS, metadata: {} };
  };

  return {
    enabled: (component) => settingsOf(component) !== undefined,
    prepare: async (component, given, call) => {
      const settings = settingsOf(component);
      if (settings === undefined) return { operations: given, markers: [], settled: () => {} };
      const { operations, upserts } = split(given);
      const { promise: outcome, resolve } = Promise.withResolvers<Outcome>();
      // Handed over in the order of the operations, without waiting for one another.
      const sent = await Promise.allSettled(
        upserts.map((upsert) => {
          const id = `outbox-${ids.uuid()}`;
          remember(id, { outcome });
          return announce(settings, id, upsert, call);
        }),
      );
      const failure = sent.find((result) => result.status === 'rejected');
      if (failure !== undefined) {
        resolve('refused');
        const error = errorText(failure.reason);
        const info = { appID: options.appId, error };
        throw runtimeError('outboxPublish', { error }, { cause: failure.reason, info });
      }
      return {
        operations,
        markers: sent.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : [])),
        settled: (error) => {
          if (error === undefined) resolve('committed');
          else resolve(error instanceof EtagError ? 'refused' : 'unknown');
        },
      };
    },
    start: consumer.start,
    close: consumer.close,
  };
}

type UpsertOperation = Extract<StateTransactionOperation, { operation: 'upsert' }>;

/** An upsert that is announced: what is written, and what the event shows (another value under a projection). */
interface Upsert {
  readonly written: UpsertOperation;
  readonly shown: UpsertOperation;
}

/** Takes the projections out; of several for one key the last one counts. */
function split(given: readonly StateTransactionOperation[]): {
  readonly operations: readonly StateTransactionOperation[];
  readonly upserts: readonly Upsert[];
} {
  const projections = new Map<string, UpsertOperation>();
  const operations = given.filter((operation) => {
    if (operation.operation !== 'upsert' || !isTruthy(operation.item.metadata[PROJECTION])) return true;
    projections.set(operation.item.key, operation);
    return false;
  });
  const upserts = operations.flatMap((written) =>
    written.operation === 'upsert' ? [{ written, shown: projections.get(written.item.key) ?? written }] : [],
  );
  return { operations, upserts };
}

/** Content type of the event's data; the attribute `datacontenttype` may stand for it. */
function contentTypeOf({ item, contentType }: UpsertOperation): string {
  return contentType ?? item.metadata['contentType'] ?? item.metadata['datacontenttype'] ?? '';
}

/** JSON stays JSON under its own content type; under others a string is its text and anything else its JSON text. */
function eventData(value: StateValue, contentType: string): Uint8Array {
  if (!value.json || mediaType(contentType) === 'application/json') return value.bytes;
  const { bytes } = value;
  const parsed: unknown = JSON.parse(
    Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString(),
  );
  return typeof parsed === 'string' ? Buffer.from(parsed) : bytes;
}

/** Settings by store, read once. */
function createSettings(
  options: Pick<OutboxOptions, 'appId' | 'namespace'>,
): (component: LoadedComponent<'state'>) => OutboxSettings | undefined {
  const known = new WeakMap<LoadedComponent, { readonly settings: OutboxSettings | undefined }>();
  const read = (component: LoadedComponent<'state'>): OutboxSettings | undefined => {
    const publishPubsub = metadataItem(component, 'outboxPublishPubsub') ?? '';
    const publishTopic = metadataItem(component, 'outboxPublishTopic') ?? '';
    if (publishPubsub === '' || publishTopic === '') return undefined;
    return {
      publishPubsub,
      publishTopic,
      internalPubsub: metadataItem(component, 'outboxPubsub') || publishPubsub,
      internalTopic: `${options.namespace}${options.appId}${publishTopic}outbox`,
      discardWhenMissing: isTruthy(metadataItem(component, 'outboxDiscardWhenMissingState')),
    };
  };
  return (component) => {
    const entry = known.get(component) ?? { settings: read(component) };
    known.set(component, entry);
    return entry.settings;
  };
}

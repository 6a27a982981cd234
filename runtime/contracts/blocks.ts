/**
 * The building blocks as the two transports see them: plain requests and responses, no transport words. Each block is
 * implemented once in `runtime/building-blocks/<block>`; `http/routes` and `grpc/services` only decode, call, encode.
 * Every operation rejects with a `RuntimeError` for what a client should see.
 */

import type { DeliveryResult, HeaderList, InvokeRequest, InvokeResponse } from './app-channel.ts';
import type { BindingResponse } from './binding.ts';
import type { CallContext } from './call-context.ts';
import type { CloudEvent } from './cloud-event.ts';
import type { ConfigurationItems } from './configuration-store.ts';
import type { ConversationMessage, ConversationResult } from './conversation.ts';
import type { SpoolCounts, SpoolDesk } from './spool.ts';
import type { StateOptions, StateQueryResult, StateValue } from './state-store.ts';
import type { SyncFlowStatus } from './sync-status.ts';

export type StringMap = Readonly<Record<string, string>>;

// ---- state -------------------------------------------------------------------------------------------------------

export interface StateItem {
  readonly key: string;
  readonly value: StateValue;
  readonly etag?: string;
  readonly options: StateOptions;
  readonly metadata: StringMap;
}

export interface StateKeyed {
  readonly key: string;
  readonly etag?: string;
  readonly options: StateOptions;
  readonly metadata: StringMap;
}

export type StateTransactionOperation =
  | { readonly operation: 'upsert'; readonly item: StateItem; readonly contentType?: string }
  | { readonly operation: 'delete'; readonly item: StateKeyed };

export interface StateAnswer {
  readonly value: Uint8Array;
  readonly etag?: string;
  readonly metadata: StringMap;
}

export interface BulkStateAnswer {
  readonly key: string;
  /** Absent for a missing key. */
  readonly value?: Uint8Array;
  readonly etag?: string;
  readonly metadata?: StringMap;
  readonly error?: string;
}

export interface StateBlock {
  /** Rejects when no store or not this store exists; adapters call it before they decode a body. */
  requireStore(store: string): void;
  get(
    store: string,
    key: string,
    options: { consistency: string; metadata: StringMap },
    call: CallContext,
  ): Promise<StateAnswer | undefined>;
  bulkGet(
    store: string,
    keys: readonly string[],
    options: { parallelism: number; metadata: StringMap },
    call: CallContext,
  ): Promise<readonly BulkStateAnswer[]>;
  save(store: string, items: readonly StateItem[], call: CallContext): Promise<void>;
  delete(store: string, item: StateKeyed, call: CallContext): Promise<void>;
  bulkDelete(store: string, items: readonly StateKeyed[], call: CallContext): Promise<void>;
  transact(
    store: string,
    operations: readonly StateTransactionOperation[],
    metadata: StringMap,
    call: CallContext,
  ): Promise<void>;
  /** Rejects for stores without query support, as all built-in ones are. */
  query(store: string, body: Uint8Array, metadata: StringMap, call: CallContext): Promise<StateQueryResult>;
}

// ---- publish and subscribe ---------------------------------------------------------------------------------------

export interface PublishRequest {
  readonly pubsubName: string;
  readonly topic: string;
  readonly data: Uint8Array;
  /** Empty: `text/plain`. */
  readonly contentType: string;
  readonly metadata: StringMap;
}

export interface BulkPublishEntry {
  readonly entryId: string;
  readonly event: Uint8Array;
  readonly contentType: string;
  /** Present only when the entry had a metadata object of its own. */
  readonly metadata?: StringMap;
}

export interface BulkPublishResult {
  readonly failedEntries: readonly { readonly entryId: string; readonly error: string }[];
  /** Set when every entry failed as a whole (component error). */
  readonly error?: string;
}

export interface PublishBlock {
  /** The checks of a publish that come before its body: component, topic, `rawPayload`. */
  check(pubsubName: string, topic: string, metadata: StringMap): void;
  publish(request: PublishRequest, call: CallContext): Promise<void>;
  bulkPublish(
    pubsubName: string,
    topic: string,
    entries: readonly BulkPublishEntry[],
    metadata: StringMap,
    call: CallContext,
  ): Promise<BulkPublishResult>;
}

/** One event offered to a streaming subscriber; it answers by resolving with its verdict. */
export interface StreamedEvent {
  readonly envelope: CloudEvent;
  readonly topic: string;
  readonly pubsubName: string;
  readonly metadata: StringMap;
}

export interface SubscriptionInfo {
  readonly pubsubName: string;
  readonly topic: string;
  readonly metadata: StringMap;
  readonly rules: readonly { readonly match: string; readonly path: string }[];
  readonly deadLetterTopic: string;
  readonly type: 'DECLARATIVE' | 'PROGRAMMATIC' | 'STREAMING';
}

export interface SubscriptionsBlock {
  list(): readonly SubscriptionInfo[];
  /** Starts a streaming subscription; `deliver` is called per event. The result ends it (in-flight events are awaited). */
  subscribeStream(
    request: { pubsubName: string; topic: string; metadata: StringMap; deadLetterTopic: string },
    deliver: (event: StreamedEvent, signal: AbortSignal) => Promise<DeliveryResult>,
  ): Promise<{ close(): Promise<void> }>;
}

// ---- bindings, secrets, configuration, lock, crypto --------------------------------------------------------------

export interface BindingsBlock {
  /** `undefined`: the component answered nothing at all. Failures may carry `options.responseMetadata`. */
  invoke(
    name: string,
    request: { operation: string; data: Uint8Array; metadata: StringMap },
    call: CallContext,
  ): Promise<BindingResponse | undefined>;
}

export interface SecretsBlock {
  get(store: string, key: string, metadata: StringMap, call: CallContext): Promise<StringMap | undefined>;
  bulkGet(
    store: string,
    metadata: StringMap,
    call: CallContext,
  ): Promise<Readonly<Record<string, StringMap>> | undefined>;
}

export interface ConfigurationBlock {
  get(
    store: string,
    keys: readonly string[],
    metadata: StringMap,
    call: CallContext,
  ): Promise<ConfigurationItems>;
  /** With `changed` (gRPC stream) events go there; without, to the app channel. Resolves with the subscription id. */
  subscribe(
    store: string,
    keys: readonly string[],
    metadata: StringMap,
    call: CallContext,
    changed?: (items: ConfigurationItems) => void,
  ): Promise<string>;
  /** False text is the reason why the id could not be ended; `undefined` is success. */
  unsubscribe(store: string, id: string, call: CallContext): Promise<string | undefined>;
}

export interface LockBlock {
  tryLock(
    store: string,
    request: { resourceId: string; lockOwner: string; expiryInSeconds: number },
    call: CallContext,
  ): Promise<boolean>;
  /** 0 released, 1 does not exist, 2 belongs to another owner, 3 internal error. */
  unlock(
    store: string,
    request: { resourceId: string; lockOwner: string },
    call: CallContext,
  ): Promise<0 | 1 | 2 | 3>;
}

export interface EncryptOptions {
  readonly keyName: string;
  readonly keyWrapAlgorithm: string;
  /** Empty: `aes-gcm`. */
  readonly dataEncryptionCipher: string;
  readonly omitDecryptionKeyName: boolean;
  readonly decryptionKeyName: string;
}

export interface CryptoBlock {
  /** Throws when there is no such provider, before anything else is looked at. */
  check?(provider: string): void;
  encrypt(
    provider: string,
    options: EncryptOptions,
    plain: AsyncIterable<Uint8Array>,
    call: CallContext,
  ): Promise<AsyncIterable<Uint8Array>>;
  decrypt(
    provider: string,
    keyName: string,
    cipher: AsyncIterable<Uint8Array>,
    call: CallContext,
  ): Promise<AsyncIterable<Uint8Array>>;
}

/** A message as the caller gave it. */
export interface ConverseMessage extends ConversationMessage {
  /** Personal data is hidden before the component sees it. */
  readonly scrubPii?: boolean;
}

export interface ConverseRequest {
  /** Set when there are no inputs at all, which is said only once the component is known. */
  readonly withoutInputs?: boolean;
  readonly messages: readonly ConverseMessage[];
  readonly contextId?: string;
  readonly temperature?: number;
  /** Personal data is hidden in what comes back. */
  readonly scrubPii: boolean;
  readonly tools: readonly unknown[];
  readonly toolChoice?: string;
  readonly parameters: Readonly<Record<string, unknown>>;
  readonly metadata: StringMap;
}

export interface ConversationBlock {
  converse(component: string, request: ConverseRequest, call: CallContext): Promise<ConversationResult>;
}

// ---- invoke ------------------------------------------------------------------------------------------------------

/** The target as the caller named it; the block tells own app, remote app, HTTPEndpoint and URL apart. */
export interface InvokeTarget {
  /** App id, `app.namespace`, name of an HTTPEndpoint, or an http(s) URL. */
  readonly id: string;
}

export interface InvokeBlock {
  invoke(target: InvokeTarget, request: InvokeRequest, call: CallContext): Promise<InvokeResponse>;
  /** Another sidecar asks for an app of this node (`CallLocal`): access control, then the app channel. */
  invokeLocal(
    request: InvokeRequest,
    caller: { appId: string; namespace: string },
    call: CallContext,
  ): Promise<InvokeResponse>;
}

// ---- jobs, actors, workflow: answers without a control plane ---------------------------------------------------------

/** A job as the API sees it; `data` is any JSON value on HTTP, an encoded `Any` on gRPC. */
export interface JobRequest {
  readonly name: string;
  readonly schedule?: string;
  readonly dueTime?: string;
  readonly repeats?: number;
  readonly ttl?: string;
  readonly data?: unknown;
  readonly overwrite: boolean;
  readonly failurePolicy?: JobFailurePolicy;
}

/** What becomes of a run that the app did not take; no `maxRetries` is without end. */
export type JobFailurePolicy =
  | { readonly kind: 'drop' }
  | { readonly kind: 'constant'; readonly intervalMs?: number; readonly maxRetries?: number };

export interface JobsBlock {
  schedule(job: JobRequest, call: CallContext): Promise<void>;
  get(name: string, call: CallContext): Promise<JobRequest>;
  delete(name: string, call: CallContext): Promise<void>;
  list(call: CallContext): Promise<readonly JobRequest[]>;
  deleteByPrefix(prefix: string, call: CallContext): Promise<void>;
}

/** Until the actor engine lands every operation validates its names and then rejects with `actorNoPlacement`. */
export interface ActorsBlock {
  /** `check` is what else the caller looks at, once the type is one that may be used. */
  refuse(
    request: { type: string; id: string; name?: string; direct: boolean; check?: () => Promise<void> },
    call: CallContext,
  ): Promise<never>;
}

export interface WorkflowBlock {
  refuse(
    request: { operation: string; instanceId: string; workflowName?: string },
    call: CallContext,
  ): Promise<never>;
}

// ---- metadata, health, node --------------------------------------------------------------------------------------

export interface MetadataAnswer {
  readonly id: string;
  readonly runtimeVersion: string;
  readonly enabledFeatures: readonly string[];
  readonly components: readonly {
    readonly name: string;
    readonly type: string;
    readonly version: string;
    readonly capabilities: readonly string[];
  }[];
  readonly extended: StringMap;
  readonly subscriptions: readonly SubscriptionInfo[];
  readonly httpEndpoints: readonly string[];
  readonly appConnection: {
    readonly port: number;
    readonly protocol: string;
    readonly channelAddress: string;
    readonly maxConcurrency: number;
    readonly health?: {
      readonly path: string;
      readonly intervalMs: number;
      readonly timeoutMs: number;
      readonly threshold: number;
    };
  };
  readonly actorRuntime: {
    readonly status: 'INITIALIZING' | 'DISABLED' | 'RUNNING';
    readonly hostReady: boolean;
    readonly placement: string;
  };
  readonly schedulerAddresses: readonly string[];
  readonly resiliencies: readonly string[];
}

export interface MetadataBlock {
  get(): MetadataAnswer;
  set(key: string, value: string): void;
}

export interface HealthBlock {
  /** Rejects with `notReady` or `appIdMismatch`; `appId` is the query parameter when present. */
  check(appId: string | undefined): void;
  checkOutbound(): void;
}

export interface SyncBlock {
  status(): Promise<readonly SyncFlowStatus[]>;
  /** Gives parked flows (all, or the one of this name) another turn at once; the number woken. */
  retry(flow: string | undefined): number;
}

export interface NodeBlock {
  /** Answers first, then stops the process: gracefully, or with exit code 1 after about 100 ms when `force`. */
  shutdown(force: boolean): void;
  spools(): Promise<readonly { readonly name: string; readonly counts: SpoolCounts }[]>;
  readonly spoolDesk?: SpoolDesk;
  /** Present with Sync resources. */
  readonly sync?: SyncBlock | undefined;
  /** What was written to the card and what that makes of its life; undefined before anything is stored. */
  cardWear?(): object | undefined;
}

export interface Blocks {
  readonly state: StateBlock;
  readonly publish: PublishBlock;
  readonly subscriptions: SubscriptionsBlock;
  readonly bindings: BindingsBlock;
  readonly secrets: SecretsBlock;
  readonly configuration: ConfigurationBlock;
  readonly lock: LockBlock;
  readonly crypto: CryptoBlock;
  readonly conversation: ConversationBlock;
  readonly invoke: InvokeBlock;
  readonly jobs: JobsBlock;
  readonly actors: ActorsBlock;
  readonly workflow: WorkflowBlock;
  readonly metadata: MetadataBlock;
  readonly health: HealthBlock;
  readonly node: NodeBlock;
}

/** Case-insensitive look-up in a header list; the first value wins. */
export function headerValue(headers: HeaderList, name: string): string | undefined {
  const wanted = name.toLowerCase();
  return headers.find(([key]) => key.toLowerCase() === wanted)?.[1];
}

/** Resource documents after loading: validated, defaults filled in, secrets not yet resolved. */

/** Where a document came from, for messages about it. */
export interface ResourceOrigin {
  readonly file: string;
  /** 1-based position of the document in its file. */
  readonly document: number;
}

export interface MetadataEntry {
  readonly name: string;
  readonly value?: string;
  readonly secretKeyRef?: { readonly name: string; readonly key: string };
  readonly envRef?: string;
}

interface ResourceBase {
  readonly name: string;
  readonly namespace: string;
  readonly scopes: readonly string[];
  readonly origin: ResourceOrigin;
}

export interface ComponentResource extends ResourceBase {
  readonly kind: 'Component';
  /** As written, e.g. `state.sqlite`. */
  readonly type: string;
  readonly version: string;
  readonly ignoreErrors: boolean;
  readonly initTimeoutMs: number;
  readonly metadata: readonly MetadataEntry[];
  /** Secret store of `secretKeyRef` items; empty when none was named. */
  readonly secretStore: string;
}

export interface RouteRule {
  /** CEL text; empty matches always. */
  readonly match: string;
  readonly path: string;
}

export interface BulkSubscribe {
  readonly enabled: boolean;
  readonly maxMessagesCount: number;
  readonly maxAwaitDurationMs: number;
}

/** A subscription in its v2 form, wherever it came from. */
export interface ProgrammaticSubscription {
  readonly pubsubName: string;
  readonly topic: string;
  readonly metadata: Readonly<Record<string, string>>;
  /** Rules in order; a default route is the last rule with an empty match. */
  readonly rules: readonly RouteRule[];
  readonly deadLetterTopic: string;
  readonly bulk: BulkSubscribe;
}

export interface SubscriptionResource extends ResourceBase, ProgrammaticSubscription {
  readonly kind: 'Subscription';
}

export interface HttpEndpointResource extends ResourceBase {
  readonly kind: 'HTTPEndpoint';
  readonly baseUrl: string;
  readonly headers: readonly MetadataEntry[];
  readonly clientTls: {
    readonly rootCa?: MetadataEntry;
    readonly certificate?: MetadataEntry;
    readonly privateKey?: MetadataEntry;
    readonly renegotiation: string;
  };
  readonly secretStore: string;
}

/** Policies and targets as written; `runtime/resiliency` validates and compiles them. */
export interface ResiliencyResource extends ResourceBase {
  readonly kind: 'Resiliency';
  readonly spec: Readonly<Record<string, unknown>>;
}

export type SyncDirection = 'up' | 'down' | 'both';

/** Who wins when both sides changed the same key (`docs/sync.md`). */
export type ConflictRule = 'last-write' | 'edge-wins' | 'cloud-wins' | 'merge' | 'ask';

export interface TopicAddress {
  readonly pubsub: string;
  readonly topic: string;
}

/** What every flow of a Sync may limit. */
export interface SyncLimits {
  /** Messages or changes a second over the link; 0: no limit. */
  readonly maxRate: number;
  /** 0: no limit. */
  readonly maxBytesPerHour: number;
  /** Local times of day in minutes, `[from, to)`; a range may cross midnight. */
  readonly quietHours: readonly (readonly [from: number, to: number])[];
}

interface SyncFlowBase extends SyncLimits {
  readonly name: string;
  /** Where it stands in the document: `spec.topics.0`. */
  readonly field: string;
  readonly direction: SyncDirection;
  /** 0 (bulk) to 9 (urgent). */
  readonly priority: number;
  /** 0: for ever. */
  readonly ttlMs: number;
  /** CEL text over `event`; empty: everything. */
  readonly filter: string;
}

export interface TopicFlowSpec extends SyncFlowBase {
  readonly kind: 'topic';
  readonly local: TopicAddress;
  readonly remote: TopicAddress;
}

/** A key, or the beginning of keys, under its names on both sides. */
export interface SyncedKey {
  readonly local: string;
  readonly remote: string;
}

export interface StateFlowSpec extends SyncFlowBase {
  readonly kind: 'state';
  readonly local: string;
  readonly remote: string;
  readonly keys: readonly SyncedKey[];
  readonly prefixes: readonly SyncedKey[];
  readonly conflict: ConflictRule;
  /** How often the far side is asked for changes. */
  readonly pollMs: number;
  /** Name of the journal that several Syncs share over there; empty: none. */
  readonly journal: string;
}

export type SyncFlowSpec = TopicFlowSpec | StateFlowSpec;

/** `Sync` (`skerry.dev/v1alpha1`): what travels between this node and another side, and how. */
export interface SyncResource extends ResourceBase {
  readonly kind: 'Sync';
  readonly flows: readonly SyncFlowSpec[];
  /** Where conflicts are told; absent: log and counter only. */
  readonly conflictTopic?: TopicAddress;
}

export type Resource =
  | ComponentResource
  | SubscriptionResource
  | HttpEndpointResource
  | ResiliencyResource
  | SyncResource;

export interface ApiAccessRule {
  readonly name: string;
  readonly version: string;
  readonly protocol: string;
}

export interface SecretScope {
  readonly storeName: string;
  readonly defaultAccess: 'allow' | 'deny';
  readonly allowedSecrets: readonly string[];
  readonly deniedSecrets: readonly string[];
}

export interface PipelineHandler {
  readonly name: string;
  readonly type: string;
}

export interface AccessControlPolicy {
  readonly appId: string;
  readonly defaultAction: string;
  readonly trustDomain: string;
  readonly namespace: string;
  readonly operations: readonly {
    readonly name: string;
    readonly httpVerb: readonly string[];
    readonly action: string;
  }[];
}

/** The merged Configuration resources of `--config`; every member has its default. */
export interface ConfigurationResource {
  readonly name: string;
  readonly tracing: {
    /** Text as written; empty means the default 0.0001. */
    readonly samplingRate: string;
    readonly stdout: boolean;
    readonly zipkinEndpoint: string;
    readonly otel: {
      readonly endpointAddress: string;
      readonly protocol: string;
      readonly isSecure: boolean;
      readonly headers: Readonly<Record<string, string>>;
      readonly timeoutMs: number;
      /** Path of the collector when it is not the usual `/v1/traces`. */
      readonly path?: string;
      readonly gzip?: boolean;
      /** Certificates of a secure connection (OTEL variables): authority, client, key. */
      readonly caFile?: string;
      readonly certFile?: string;
      readonly keyFile?: string;
    };
  };
  readonly metrics: {
    readonly enabled: boolean;
    readonly recordErrorCodes: boolean;
    readonly increasedCardinality: boolean;
    readonly pathMatching: readonly string[];
    readonly excludeVerbs: boolean;
    readonly latencyBuckets: readonly number[];
    readonly rules: readonly {
      readonly name: string;
      readonly labels: readonly { readonly name: string; readonly regex: Readonly<Record<string, string>> }[];
    }[];
  };
  readonly httpPipeline: readonly PipelineHandler[];
  readonly appHttpPipeline: readonly PipelineHandler[];
  readonly nameResolution: {
    readonly component: string;
    readonly version: string;
    readonly configuration: Readonly<Record<string, unknown>>;
  };
  readonly secretScopes: readonly SecretScope[];
  readonly api: { readonly allowed: readonly ApiAccessRule[]; readonly denied: readonly ApiAccessRule[] };
  readonly accessControl?: {
    readonly defaultAction: string;
    readonly trustDomain: string;
    readonly policies: readonly AccessControlPolicy[];
  };
  /** As written in `spec.mtls`; absent without it. */
  readonly mtls?: {
    readonly enabled: boolean;
    readonly sentryAddress: string;
    readonly controlPlaneTrustDomain: string;
  };
  readonly features: Readonly<Record<string, boolean>>;
  readonly deniedComponents: readonly string[];
  readonly apiLogging: {
    readonly enabled: boolean;
    readonly obfuscateUrls: boolean;
    readonly omitHealthChecks: boolean;
  };
}

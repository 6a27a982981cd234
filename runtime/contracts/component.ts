/**
 * How a component plugs in: a definition (type, metadata schema, capabilities, pure `create`) and an instance with a
 * life of `init` (does the I/O), use, `close` (idempotent, works after a half-finished `init`).
 */

import type { Binding } from './binding.ts';
import type { EmbeddedBroker } from './broker.ts';
import type { Clock } from './clock.ts';
import type { ConfigurationStore } from './configuration-store.ts';
import type { Conversation } from './conversation.ts';
import type { CryptoProvider } from './crypto-provider.ts';
import type { DatabasePool } from './database.ts';
import type { HttpMiddleware } from './http-middleware.ts';
import type { Ids } from './ids.ts';
import type { LockStore } from './lock-store.ts';
import type { Logger } from './logger.ts';
import type { MetadataSchema } from './metadata.ts';
import type { Metrics } from './metrics.ts';
import type { NameResolver } from './name-resolver.ts';
import type { PubSub } from './pubsub.ts';
import type { Random } from './random.ts';
import type { RelayedSidecar } from './relayed-sidecar.ts';
import type { RemoteEndpoint } from './remote-endpoint.ts';
import type { SecretStore } from './secret-store.ts';
import type { SpoolSource } from './spool.ts';
import type { StateStore } from './state-store.ts';

/** Instance type of each category, by the first part of a Dapr component type. */
export interface CategoryInstances {
  state: StateStore;
  pubsub: PubSub;
  bindings: Binding;
  secretstores: SecretStore;
  configuration: ConfigurationStore;
  lock: LockStore;
  crypto: CryptoProvider;
  conversation: Conversation;
  middleware: HttpMiddleware;
  nameresolution: NameResolver;
}

export type Category = keyof CategoryInstances;

export interface ComponentInstance {
  /** Opens what the component needs; rejects with an error that names the metadata item at fault. */
  init(signal: AbortSignal): Promise<void>;
  /** Cheap check that the far side answers, where the component has one. */
  ping?(signal: AbortSignal): Promise<void>;
  close(): Promise<void>;
}

/** What a component may use of the node. Expensive things are opened through it, shared and counted. */
export interface ComponentDeps {
  readonly componentName: string;
  readonly appId: string;
  /** Empty when `NAMESPACE` is not set. */
  readonly namespace: string;
  readonly clock: Clock;
  readonly ids: Ids;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly databases: DatabasePool;
  readonly broker: EmbeddedBroker;
  readonly spools: SpoolSource;
  /** Environment variables of the process (for `secretstores.local.env`). */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The `HTTPEndpoint` resource of this name, its secrets resolved; `undefined` when there is none. */
  endpoint(name: string): Promise<RemoteEndpoint | undefined>;
  /** The sidecar beside the relay that this node is enrolled at; `undefined` where it is enrolled at none. */
  relayedSidecar?(): Promise<RelayedSidecar | undefined>;
  /** Publishes an event that the runtime tells of itself, as the app would; rejects while nobody takes it. */
  tell?(event: RuntimeEvent, signal: AbortSignal): Promise<void>;
  /** 32 random bytes that stay the same for the life of the data folder: the root of what is kept encrypted in it. */
  nodeKey(): Promise<Uint8Array>;
}

/** An event of the runtime's own: it becomes a CloudEvent. */
export interface RuntimeEvent {
  readonly pubsub: string;
  readonly topic: string;
  /** The same for a repeat. */
  readonly id: string;
  readonly type: string;
  /** JSON text. */
  readonly data: string;
}

export interface ComponentDefinition<C extends Category = Category, M = unknown> {
  readonly category: C;
  /** `state.sqlite`: lower case, as in the catalog key. */
  readonly type: string;
  readonly metadata: MetadataSchema<M>;
  /** Dapr feature names shown by the metadata API and asserted by conformance tests. */
  readonly capabilities: readonly string[];
  /** Pure: no I/O, no timers. */
  create(metadata: M, deps: ComponentDeps): CategoryInstances[C];
}

/** Makes the category and metadata type of a definition known to the compiler and erases them for the catalog. */
export function defineComponent<C extends Category, M>(
  definition: ComponentDefinition<C, M>,
): ComponentDefinition<C, M> {
  return Object.freeze(definition);
}

// biome-ignore lint/suspicious/noExplicitAny: the catalog holds definitions of every metadata type
export type AnyComponentDefinition = ComponentDefinition<any, any>;

/** `type/version` (lower case; version v1 when empty or v0) to a lazy import of the definition. */
export type Catalog = Readonly<
  Record<string, () => Promise<{ readonly definition: AnyComponentDefinition }>>
>;

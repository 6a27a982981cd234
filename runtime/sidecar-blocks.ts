/** Builds the blocks of one sidecar over its components: the wiring that has no life of its own. */

import type { AppHealthWatch } from './app-channel/app-health.ts';
import { createActorsBlock } from './building-blocks/actors/actors.ts';
import { createInputBindings, type InputBindings } from './building-blocks/bindings/input.ts';
import { createBindingsBlock } from './building-blocks/bindings/output.ts';
import { createReplyActions } from './building-blocks/bindings/reply-actions.ts';
import {
  type ConfigurationBlockWithClose,
  createConfigurationBlock,
} from './building-blocks/configuration/configuration.ts';
import { createConversationBlock } from './building-blocks/conversation/conversation.ts';
import { createCryptoBlock } from './building-blocks/crypto/crypto.ts';
import type { Health } from './building-blocks/health/health.ts';
import type { ExternalHttp, ResolvedEndpoint } from './building-blocks/invoke/external-http.ts';
import { createInvokeBlock } from './building-blocks/invoke/invoke.ts';
import { createInvokeQueue, type InvokeQueue } from './building-blocks/invoke/invoke-queue.ts';
import { createJobsBlock } from './building-blocks/jobs/jobs.ts';
import { createLockBlock } from './building-blocks/lock/lock.ts';
import { createMetadataBlock } from './building-blocks/metadata/metadata.ts';
import { createPublishBlock, type Publishing } from './building-blocks/pubsub/publish.ts';
import { createSubscriptions, type Subscriptions } from './building-blocks/pubsub/subscriptions.ts';
import { createSecretsBlock } from './building-blocks/secrets/secrets.ts';
import { createOutbox } from './building-blocks/state/outbox.ts';
import { createStateBlock } from './building-blocks/state/state.ts';
import { createWorkflowBlock } from './building-blocks/workflow/workflow.ts';
import type { ComponentStore } from './components/store.ts';
import type { AppChannel } from './contracts/app-channel.ts';
import type { Blocks, InvokeBlock, SyncBlock } from './contracts/blocks.ts';
import type { CallContext } from './contracts/call-context.ts';
import type { MeshSecurity } from './contracts/mesh-security.ts';
import type { NameResolver } from './contracts/name-resolver.ts';
import type { Peers } from './contracts/peer.ts';
import { RELAY_URL } from './contracts/relayed-sidecar.ts';
import type { Policies } from './contracts/resiliency.ts';
import type { SubscriptionResource } from './contracts/resource.ts';
import type { SidecarOptions } from './flags.ts';
import type { Node } from './node.ts';
import type { SidecarSetup } from './sidecar-setup.ts';

export interface BlockParts {
  readonly node: Node;
  readonly options: SidecarOptions;
  readonly setup: SidecarSetup;
  readonly namespace: string;
  readonly components: ComponentStore;
  readonly policies: Policies & { names(): readonly string[] };
  readonly channel: AppChannel | undefined;
  readonly appHealth: AppHealthWatch;
  readonly health: Health;
  readonly security: MeshSecurity | undefined;
  readonly peers: Peers;
  readonly external: ExternalHttp;
  readonly endpoints: ReadonlyMap<string, ResolvedEndpoint>;
  readonly resolver: () => NameResolver | undefined;
  readonly localApp: (appId: string) => InvokeBlock | undefined;
  /** Subscription resources in force; replaced by hot reload. */
  readonly live: { readonly subscriptions: readonly SubscriptionResource[] };
  readonly decodeCbor: (bytes: Uint8Array) => unknown;
  readonly shutdown: (force: boolean) => void;
  /** The flows of Sync resources, once they run. */
  readonly sync: () => SyncBlock | undefined;
}

export interface BuiltBlocks {
  readonly blocks: Blocks;
  readonly publish: Publishing;
  readonly subscriptions: Subscriptions;
  readonly inputs: InputBindings;
  readonly configuration: ConfigurationBlockWithClose;
  readonly outbox: { start(): Promise<void>; close(): Promise<void> };
  readonly invokeQueue: InvokeQueue;
}

export function buildBlocks(parts: BlockParts): BuiltBlocks {
  const { node, options, setup, namespace, components, policies, channel, security } = parts;
  const { tracer, metrics } = setup;
  const { clock, ids } = node;
  const { appId } = options;
  const log = (scope: string) => node.log.child(`dapr.runtime.${scope}`, { app_id: appId });
  const shared = { appId, namespace, components, policies, metrics, clock };
  const appChannel = (): AppChannel | undefined => channel;

  const publish = createPublishBlock({ ...shared, ids, log: log('pubsub'), tracer });
  const subscriptions = createSubscriptions({
    ...shared,
    appChannel,
    declarative: () => parts.live.subscriptions,
    publish,
    ids,
    log: log('pubsub'),
    tracer,
    decodeCbor: parts.decodeCbor,
    askApp: !options.disabledInitEndpoints.includes('subscribe'),
  });
  const outbox = createOutbox({
    appId,
    namespace: namespace === '' ? 'default' : namespace,
    components,
    messaging: { ...publish, subscribeInternal: subscriptions.subscribeInternal },
    clock,
    ids,
    log: log('outbox'),
  });
  const state = createStateBlock({ ...shared, outbox });
  const bindings = createBindingsBlock(shared);
  const configuration = createConfigurationBlock({ ...shared, appChannel, ids, log: log('configuration') });
  const runtimeCall = (signal: AbortSignal): CallContext => ({
    signal,
    protocol: 'internal',
    span: tracer.start('runtime', {}),
    log: log('bindings'),
  });
  const inputs = createInputBindings({
    ...shared,
    appChannel,
    replies: createReplyActions({ state, bindings, context: runtimeCall }),
    probeTimeoutMs: options.bindingProbeTimeoutMs,
    tracer,
    log: log('bindings'),
  });
  const farEndpoint = fallbackEndpoint(setup, parts.endpoints, log('invoke'));
  const invoke = createInvokeBlock({
    appId,
    namespace,
    hostAddress: setup.hostAddress,
    hostName: node.hostName,
    policies,
    resolver: parts.resolver,
    peers: parts.peers,
    appChannel,
    appHealth: {
      get healthy() {
        return !options.appHealth.enabled || parts.appHealth.healthy;
      },
    },
    endpoints: () => parts.endpoints,
    external: parts.external,
    farSidecar: () => (farEndpoint === '' ? undefined : parts.endpoints.get(farEndpoint)),
    ...(setup.configuration.accessControl === undefined
      ? {}
      : { accessControl: setup.configuration.accessControl }),
    ...(security === undefined ? {} : { identity: () => security.id }),
    clock,
    log: log('invoke'),
    metrics,
    localApps: parts.localApp,
  });
  const invokeQueue = createInvokeQueue({
    appId,
    spools: node.spools,
    invoke: invoke.invoke,
    context: runtimeCall,
    log: log('invoke'),
  });
  const blocks: Blocks = {
    state,
    publish,
    subscriptions,
    bindings,
    secrets: createSecretsBlock({ ...shared, scopes: setup.configuration.secretScopes }),
    configuration,
    lock: createLockBlock(shared),
    crypto: createCryptoBlock(shared),
    conversation: createConversationBlock(shared),
    invoke: { ...invoke, invoke: invokeQueue.invoke },
    jobs: createJobsBlock({ appId, namespace }),
    actors: createActorsBlock(),
    workflow: createWorkflowBlock(),
    metadata: createMetadataBlock({
      appId,
      version: node.version,
      features: () => enabledFeatures(setup.configuration.features),
      components: components.all,
      subscriptions: () => subscriptions.list(),
      httpEndpoints: () => setup.resources.httpEndpoints.map((endpoint) => endpoint.name),
      resiliencies: () => policies.names(),
      appConnection: {
        port: options.appPort,
        protocol: options.appProtocol,
        channelAddress: options.appAddress,
        maxConcurrency: Math.max(0, options.appMaxConcurrency),
        ...(options.appHealth.enabled ? { health: options.appHealth } : {}),
      },
    }),
    health: parts.health,
    node: {
      shutdown: parts.shutdown,
      spools: () => node.spools.list(),
      cardWear: () => node.cardWear(),
      get sync() {
        return parts.sync();
      },
      ...(node.spools.desk === undefined ? {} : { spoolDesk: node.spools.desk }),
    },
  };
  return { blocks, publish, subscriptions, inputs, configuration, outbox, invokeQueue };
}

/** Features on by default, then those of the Configuration. */
function enabledFeatures(given: Readonly<Record<string, boolean>>): readonly string[] {
  const all: Record<string, boolean> = { HotReload: true, WorkflowsRemoteActivityReminder: true, ...given };
  return Object.entries(all)
    .filter(([, enabled]) => enabled)
    .map(([name]) => name);
}

/** `nameResolution.configuration.fallbackEndpoint`: the HTTPEndpoint that is asked when no neighbour answers to an app id. */
function fallbackEndpoint(
  setup: SidecarSetup,
  endpoints: BlockParts['endpoints'],
  log: { warn(text: string): void },
): string {
  const name = setup.configuration.nameResolution.configuration['fallbackEndpoint'];
  if (name === undefined) return '';
  const url = typeof name === 'string' ? endpoints.get(name)?.baseUrl : undefined;
  if (typeof name === 'string' && url !== undefined && !RELAY_URL.test(url)) return name;
  log.warn(
    url === undefined
      ? `nameResolution.configuration.fallbackEndpoint: expected the name of an HTTPEndpoint, got ${JSON.stringify(name)}`
      : `nameResolution.configuration.fallbackEndpoint: ${JSON.stringify(name)} has the baseUrl relay:, and the relay finds apps by itself`,
  );
  return '';
}

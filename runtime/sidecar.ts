/**
 * Composition root of one sidecar: builds every part in order, starts it, and closes it in reverse. A start that fails
 * halfway unwinds the same stack.
 */

import { catalog } from '../edge-components/catalog.ts';
import { decodeCbor } from '../edge-components/drivers/cbor/decode.ts';
import { createAppHealth } from './app-channel/app-health.ts';
import { createHealth } from './building-blocks/health/health.ts';
import type { Publishing } from './building-blocks/pubsub/publish.ts';
import type { Sync } from './building-blocks/sync/sync.ts';
import { resolveEndpoint, resolveEndpoints } from './components/endpoints.ts';
import { createComponentHost } from './components/host.ts';
import { createRegistry } from './components/registry.ts';
import { createComponentStore } from './components/store.ts';
import type { Blocks } from './contracts/blocks.ts';
import type { ComponentDeps } from './contracts/component.ts';
import type { Logger } from './contracts/logger.ts';
import type { SidecarOptions } from './flags.ts';
import { createGrpcClientPool } from './grpc-client/client.ts';
import type { Node } from './node.ts';
import { createPeers } from './peer/peer-client.ts';
import { atLevel } from './platform/log-level.ts';
import { pluggableDefinitions } from './pluggable/sockets.ts';
import { readResources } from './read-resources.ts';
import { createPolicies } from './resiliency/policies.ts';
import { createAppLife } from './sidecar-app.ts';
import { buildBlocks } from './sidecar-blocks.ts';
import { openChannel, openExternal } from './sidecar-channel.ts';
import { startNameResolution } from './sidecar-names.ts';
import { clientsWithRelay, namesWithRelay } from './sidecar-relay.ts';
import { createReload } from './sidecar-reload.ts';
import { openSecurity } from './sidecar-security.ts';
import { openServers, reserveInternalPort } from './sidecar-servers.ts';
import { readSetup, type SidecarSetup } from './sidecar-setup.ts';
import { openSync } from './sidecar-sync.ts';

export interface SidecarRequest {
  readonly node: Node;
  readonly options: SidecarOptions;
  readonly defaults: boolean;
  /** Other sidecars of this node by app id; filled as they start. */
  readonly siblings: ReadonlyMap<string, Sidecar>;
  readonly shutdown: (force: boolean) => void;
  /** Asks the process to close this sidecar and start it anew; returns at once. */
  readonly restart: () => void;
  /** The sidecar cannot go on: the process stops gracefully and ends with exit code 1. */
  readonly fail: (error: unknown) => void;
  readonly signal: AbortSignal;
}

export interface Sidecar {
  readonly options: SidecarOptions;
  readonly ports: { readonly http: number; readonly grpc: number };
  /** Where other apps of this node reach its internal server. */
  readonly internalAddress: string;
  readonly blocks: Blocks;
  /** Subscriptions and input bindings stop for good; the APIs serve on. */
  stopInputs(): Promise<void>;
  untilUnhealthy(): Promise<void>;
  close(): Promise<void>;
}

export async function startSidecar(request: SidecarRequest): Promise<Sidecar> {
  await using stack = new AsyncDisposableStack();
  const { node, options } = request;
  const log = atLevel(node.log, options.logLevel, node.options.logLevel);
  const sidecar = await start({ ...request, node: { ...node, log } }, stack);
  const closing = stack.move();
  return { ...sidecar, close: () => closing.disposeAsync() };
}

async function start(request: SidecarRequest, stack: AsyncDisposableStack): Promise<Omit<Sidecar, 'close'>> {
  const { node, options, signal } = request;
  const { appId } = options;
  const { clock } = node;
  const namespace = node.env['NAMESPACE'] ?? '';
  const log = node.log.child('dapr.runtime', { app_id: appId });
  const asRead = await readSetup(node, options, request.defaults);
  const { configuration, resources } = asRead;
  stack.defer(() => asRead.flushTraces(traceFlushMs(options)));
  const security = await openSecurity(node, options, asRead, request.defaults, signal);
  if (security !== undefined) stack.defer(() => security.close());
  log.info(`standalone mode configured`);
  log.info(`app id: ${appId}`);
  log.info('Actor runtime disabled: actors and workflows need a placement service');
  log.info('Scheduler disabled: jobs and reminders need a scheduler service');

  const health = createHealth(appId, ['runtime', 'api-server', 'http-server', 'internal-grpc-server']);
  const internalPort = await reserveInternalPort(options, asRead, log);
  stack.defer(() => internalPort?.close());
  const setup = { ...asRead, internalPort: internalPort?.port ?? asRead.internalPort };
  const late: LateParts = {};
  const { store, host, names, endpoints, policies, registry, deps } = await openComponents(
    request,
    setup,
    log,
    stack,
    late,
  );
  const channel = openChannel(node, options, setup, store);
  if (channel !== undefined) stack.defer(() => channel.close());
  const appHealth = createAppHealth({
    ...(options.appHealth.enabled ? { checks: options.appHealth } : {}),
    probe: async (path, probeSignal) => (await channel?.probe(path, probeSignal)) ?? true,
    clock,
    log,
  });
  stack.defer(() => appHealth.close());
  const relay = await node.relay();
  const plainClients = createGrpcClientPool({
    clock,
    limits: { maxMessageBytes: options.maxBodyBytes },
    ...(security === undefined ? {} : { dial: security.dial }),
  });
  const clients = relay === undefined ? plainClients : clientsWithRelay(plainClients, relay, appId);
  const resolver = namesWithRelay(() => names.resolver, relay, clock);
  stack.defer(() => clients.close());
  const peers = createPeers({ clients, log });
  stack.defer(() => peers.close());
  const external = openExternal(node, setup);
  stack.defer(() => external.close());

  let sync: Sync | undefined;
  const live = { subscriptions: resources.subscriptions };
  const built = buildBlocks({
    node,
    options,
    setup,
    namespace,
    components: store,
    policies,
    channel,
    appHealth,
    health,
    security,
    peers,
    external,
    endpoints,
    resolver,
    localApp: (id) => request.siblings.get(id)?.blocks.invoke,
    live,
    decodeCbor,
    shutdown: request.shutdown,
    sync: () => sync,
  });
  const { blocks } = built;
  late.publish = built.publish;
  const faults = built.subscriptions.faults();
  if (faults.length > 0) throw new Error(`failed to load subscriptions: ${faults.join('; ')}`);
  stack.defer(() => built.configuration.close());
  sync = await openSync({ node, options, setup, namespace, store, registry, deps, publish: built.publish });
  stack.defer(async () => sync?.close());

  const ports = await openServers(
    {
      node,
      options,
      setup,
      namespace,
      blocks,
      store,
      policies,
      channel,
      appHealth,
      health,
      security,
      internalPort,
      clients,
      resolver,
      relay,
      sibling: (id) => request.siblings.get(id)?.internalAddress,
      log,
    },
    stack,
  );
  await names.announce();
  health.setOutbound(true);
  const waking = relay?.onUp(() => built.invokeQueue.wake());
  stack.defer(() => waking?.stop());
  stack.defer(() => built.invokeQueue.close());
  await built.invokeQueue.resume();

  const life = createAppLife({
    options,
    channel,
    health: appHealth,
    subscriptions: built.subscriptions,
    inputs: built.inputs,
    outbox: {
      start: async () => {
        await built.outbox.start();
        await sync?.appReady();
      },
    },
    clock,
    log,
    ready: () => {
      health.ready('runtime');
      log.info('dapr initialized. Status: Running.');
    },
  });
  stack.defer(() => built.subscriptions.close());
  stack.defer(() => built.outbox.close());
  stack.defer(() => life.stop());
  const reload = createReload({
    options,
    namespace: node.env['NAMESPACE'],
    features: configuration.features,
    loaded: resources,
    live,
    host,
    subscriptions: built.subscriptions,
    inputs: built.inputs,
    clock,
    log: node.log.child('dapr.runtime.hotreload', { app_id: appId }),
    restart: request.restart,
    fail: request.fail,
    read: readResources,
  });
  stack.defer(() => reload.close());
  reload.start();
  const closing = new AbortController();
  stack.defer(() => closing.abort(new Error('the sidecar is closing')));
  life.start(AbortSignal.any([signal, closing.signal]));
  return {
    options,
    ports,
    internalAddress: `${reachable(options.internalGrpcAddress)}:${setup.internalPort}`,
    blocks,
    stopInputs: () => {
      health.notReady('runtime');
      return life.stop();
    },
    untilUnhealthy: () => life.untilUnhealthy(),
  };
}

/** An address of this host that reaches a listener on `address`. */
function reachable(address: string): string {
  if (address === '' || address === '0.0.0.0' || address === '::') return '127.0.0.1';
  return address.includes(':') ? `[${address}]` : address;
}

/** Spans in hand when a sidecar closes get a quarter of its grace period at most. */
const MAX_TRACE_FLUSH_MS = 2000;
function traceFlushMs({ gracefulShutdownMs }: SidecarOptions): number {
  return gracefulShutdownMs > 0 ? Math.min(MAX_TRACE_FLUSH_MS, gracefulShutdownMs / 4) : MAX_TRACE_FLUSH_MS;
}

/** What components may use and what is made after them. */
interface LateParts {
  publish?: Publishing;
}

/** Components, name resolution, endpoints and policies: what blocks stand on. */
async function openComponents(
  request: SidecarRequest,
  setup: SidecarSetup,
  log: Logger,
  stack: AsyncDisposableStack,
  late: LateParts,
) {
  const { node, options, signal } = request;
  const { appId } = options;
  const { clock } = node;
  const namespace = node.env['NAMESPACE'] ?? '';
  const { configuration, resources, metrics } = setup;
  // What Dapr sets in its own environment, as far as components may see it.
  const env = {
    ...node.env,
    APP_ID: appId,
    APP_PORT: String(options.appPort),
    HOST_ADDRESS: setup.hostAddress,
  };
  const attached = node.metrics.attach(metrics);
  stack.defer(() => attached.detach());
  const store = createComponentStore();
  const pluggable = pluggableDefinitions({
    env: node.env,
    clock,
    log: log.child('pluggable-components-discovery'),
    maxMessageBytes: options.maxBodyBytes,
  });
  const registry = createRegistry(catalog, pluggable);
  const deps = (componentName: string): ComponentDeps => ({
    componentName,
    appId,
    namespace,
    clock,
    ids: node.ids,
    random: node.random,
    log: node.log.child('dapr.contrib', { app_id: appId, component: componentName }),
    metrics,
    databases: node.databases,
    broker: node.broker,
    spools: node.spools,
    env,
    nodeKey: node.key,
    relayedSidecar: async () =>
      (await node.relay())?.sidecar({ appId, namespace: namespace === '' ? 'default' : namespace }),
    tell: async (event, signal) => {
      const { pubsub, topic } = event;
      if (late.publish === undefined) throw new Error('the sidecar is still starting');
      const { FORWARDED_TYPE, ownEvent } = await import('./building-blocks/sync/sync-event.ts');
      const data = ownEvent({ ...event, source: appId, target: { pubsub, topic } });
      await late.publish.publishRaw(
        pubsub,
        { topic, data, contentType: FORWARDED_TYPE, metadata: {} },
        signal,
      );
    },
    endpoint: async (name) => {
      const resource = resources.httpEndpoints.find((candidate) => candidate.name === name);
      return resource === undefined ? undefined : await resolveEndpoint(resource, store, { ...sources, log });
    },
  });
  const sources = { env, ids: node.ids, appId, namespace };
  const host = createComponentHost({
    registry,
    store,
    log,
    metrics,
    sources,
    denied: configuration.deniedComponents,
    deps,
  });
  stack.defer(() => host.closeAll());

  const names = await startNameResolution({
    configuration: configuration.nameResolution,
    registry,
    deps: deps('nameresolution'),
    pool: node.shared,
    announcement: {
      appId,
      namespace,
      address: setup.hostAddress,
      internalPort: setup.internalPort,
      httpPort: options.httpPort,
    },
    log,
    signal,
  });
  stack.defer(() => names.close());

  await host.loadAll(resources.components, signal);
  const endpoints = await resolveEndpoints(resources.httpEndpoints, store, { ...sources, log });
  const policies = createPolicies({
    resources: resources.resiliencies,
    appId,
    clock,
    random: node.random,
    metrics,
    log,
  });
  return { store, host, names, endpoints, policies, registry, deps };
}

/**
 * Composition root of one sidecar: builds every part in order, starts it, and closes it in reverse. A start that fails
 * halfway unwinds the same stack.
 */

import { catalog } from '../edge-components/catalog.ts';
import { decodeCbor } from '../edge-components/drivers/cbor/decode.ts';
import { createAppHealth } from './app-channel/app-health.ts';
import { asGrpcChannel, createAppChannel } from './app-channel/create.ts';
import { eventFields } from './app-channel/grpc-event.ts';
import { createHealth } from './building-blocks/health/health.ts';
import { resolveEndpoints } from './components/endpoints.ts';
import { createComponentHost } from './components/host.ts';
import { createRegistry } from './components/registry.ts';
import { type ComponentStore, createComponentStore } from './components/store.ts';
import type { AppChannel } from './contracts/app-channel.ts';
import type { Blocks } from './contracts/blocks.ts';
import type { ComponentDeps } from './contracts/component.ts';
import type { HttpMiddleware } from './contracts/http-middleware.ts';
import { isTruthy } from './contracts/metadata.ts';
import type { PipelineHandler } from './contracts/resource.ts';
import type { SidecarOptions } from './flags.ts';
import { createProxyHandler } from './grpc/proxy.ts';
import { createReflectionServices } from './grpc/reflection.ts';
import { createGrpcServer, type GrpcServer } from './grpc/server.ts';
import { createDaprService } from './grpc/services/dapr.ts';
import { createGrpcClientPool } from './grpc-client/client.ts';
import { createMetricsServer } from './http/metrics-server.ts';
import { createHttpServer } from './http/server.ts';
import type { Node } from './node.ts';
import { createExternalHttp } from './peer/external-http.ts';
import { createPeers } from './peer/peer-client.ts';
import { createPeerService } from './peer/peer-server.ts';
import { openProxyStream } from './peer/proxy-target.ts';
import { createPolicies } from './resiliency/policies.ts';
import { createAppLife } from './sidecar-app.ts';
import { buildBlocks } from './sidecar-blocks.ts';
import { startNameResolution } from './sidecar-names.ts';
import { createReload } from './sidecar-reload.ts';
import { readSetup, type SidecarSetup } from './sidecar-setup.ts';

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
  readonly blocks: Blocks;
  /** Subscriptions and input bindings stop for good; the APIs serve on. */
  stopInputs(): Promise<void>;
  untilUnhealthy(): Promise<void>;
  close(): Promise<void>;
}

export async function startSidecar(request: SidecarRequest): Promise<Sidecar> {
  await using stack = new AsyncDisposableStack();
  const sidecar = await start(request, stack);
  const closing = stack.move();
  return { ...sidecar, close: () => closing.disposeAsync() };
}

async function start(request: SidecarRequest, stack: AsyncDisposableStack): Promise<Omit<Sidecar, 'close'>> {
  const { node, options, signal } = request;
  const { appId } = options;
  const { clock } = node;
  const namespace = node.env['NAMESPACE'] ?? '';
  const log = node.log.child('dapr.runtime', { app_id: appId });
  const setup = await readSetup(node, options, request.defaults);
  const { configuration, resources, tracer, metrics } = setup;
  log.info(`standalone mode configured`);
  log.info(`app id: ${appId}`);

  const health = createHealth(appId, ['runtime', 'api-server', 'http-server', 'internal-grpc-server']);
  const store = createComponentStore();
  const registry = createRegistry(catalog);
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
    env: node.env,
  });
  const sources = { env: node.env, ids: node.ids, appId, namespace };
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
    namespace: namespace === '' ? 'default' : namespace,
    clock,
    random: node.random,
    metrics,
    log,
  });

  const channel = createChannel(request, setup, store);
  if (channel !== undefined) stack.defer(() => channel.close());
  const appHealth = createAppHealth({
    ...(options.appHealth.enabled ? { checks: options.appHealth } : {}),
    probe: async (path, probeSignal) => (await channel?.probe(path, probeSignal)) ?? true,
    clock,
    log,
  });
  stack.defer(() => appHealth.close());
  const clients = createGrpcClientPool({ clock, limits: { maxMessageBytes: options.maxBodyBytes } });
  stack.defer(() => clients.close());
  const peers = createPeers({ clients, log });
  stack.defer(() => peers.close());
  const token = node.env['APP_API_TOKEN'] ?? '';
  const external = createExternalHttp({ clock, ...(token === '' ? {} : { appToken: token }) });
  stack.defer(() => external.close());

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
    peers,
    external,
    endpoints,
    resolver: () => names.resolver,
    localApp: (id) => request.siblings.get(id)?.blocks.invoke,
    live,
    decodeCbor,
    shutdown: request.shutdown,
  });
  const { blocks } = built;
  const faults = built.subscriptions.faults();
  if (faults.length > 0) throw new Error(`failed to load subscriptions: ${faults.join('; ')}`);
  stack.defer(() => built.configuration.close());

  const graceMs = options.gracefulShutdownMs === 0 ? 24 * 3_600_000 : options.gracefulShutdownMs;
  const apiToken = node.env['DAPR_API_TOKEN'] ?? '';
  const addresses = options.listenAddresses.length > 0 ? options.listenAddresses : [''];
  const apiLogging = options.apiLogging ?? configuration.apiLogging.enabled;
  const proxy = createProxyHandler({
    policy: (id) => (id === appId || !policies.hasAppPolicy(id) ? undefined : policies.app(id)),
    open: (call) =>
      openProxyStream(
        { path: call.path, metadata: call.metadata, signal: call.signal, span: call.call.span },
        {
          appId,
          namespace,
          resolver: () => names.resolver,
          clients,
          appClient: () => asGrpcChannel(channel)?.client,
          appHealth: {
            get healthy() {
              return !options.appHealth.enabled || appHealth.healthy;
            },
          },
          appToken: token,
          ...(configuration.accessControl === undefined
            ? {}
            : { accessControl: configuration.accessControl }),
        },
      ),
  });
  const grpcLog = node.log.child('dapr.runtime.grpc.api', { app_id: appId });
  const grpcShared = { tracer, metrics, clock, log: grpcLog, maxMessageBytes: options.maxBodyBytes };

  const internal = createGrpcServer({
    ...grpcShared,
    protocol: 'internal',
    addresses: [options.internalGrpcAddress],
    port: setup.internalPort,
    services: [createPeerService({ invoke: blocks.invoke })],
    unknownMethod: proxy,
  });
  await listen(stack, internal, graceMs);
  log.info(`Internal gRPC server is running on ${options.internalGrpcAddress}:${setup.internalPort}`);
  health.ready('internal-grpc-server');

  const draining = new AbortController();
  const dapr = createDaprService({
    blocks,
    appId,
    namespace,
    clock,
    topicEventFields: eventFields,
    draining: draining.signal,
  });
  const grpc = createGrpcServer({
    ...grpcShared,
    protocol: 'grpc',
    addresses,
    port: options.grpcPort,
    ...(options.unixSocketDir === undefined
      ? {}
      : { unixSocket: `${options.unixSocketDir}/dapr-${appId}-grpc.socket` }),
    services: [dapr, ...createReflectionServices([dapr])],
    unknownMethod: proxy,
    ...(apiToken === '' ? {} : { apiToken }),
    recordErrorCodes: configuration.metrics.recordErrorCodes,
    apiLists: configuration.api,
    ...(apiLogging ? { apiLog: grpcLog } : {}),
  });
  const grpcPort = await listen(stack, grpc, graceMs);
  stack.defer(() => draining.abort(new Error('the sidecar is shutting down')));
  log.info(`API gRPC server is running on port ${grpcPort}`);
  health.ready('api-server');

  const http = createHttpServer({
    appId,
    blocks,
    tracer,
    log: node.log.child('dapr.runtime.http', { app_id: appId }),
    clock,
    metrics,
    httpMetrics: configuration.metrics,
    limits: { maxBodyBytes: options.maxBodyBytes, readBufferBytes: options.readBufferBytes },
    apiToken,
    allowedOrigins: options.allowedOrigins,
    apiAccess: configuration.api,
    pipeline: pipelineOf(configuration.httpPipeline, store),
    apiLogging: { ...configuration.apiLogging, enabled: apiLogging },
    addresses,
    port: options.httpPort,
    ...(options.publicPort === undefined
      ? {}
      : { publicPort: options.publicPort, publicAddress: options.publicAddress }),
    ...(options.unixSocketDir === undefined ? {} : { unixSocket: options.unixSocketDir }),
    h2c: !isTruthy(node.env['DAPR_HTTP_DISABLE_H2C']),
  });
  stack.defer(() => http.close(graceMs));
  await http.listen();
  log.info(
    `HTTP server is running on port ${options.unixSocketDir === undefined ? http.port : 'unix socket'}`,
  );
  health.ready('http-server');

  if (options.metricsPort !== undefined && configuration.metrics.enabled) {
    const server = createMetricsServer({
      address: options.metricsAddress,
      port: options.metricsPort,
      render: () => metrics.render(),
    });
    await server.listen();
    stack.defer(() => server.close());
  }
  await names.announce();
  health.setOutbound(true);

  const life = createAppLife({
    options,
    channel,
    health: appHealth,
    subscriptions: built.subscriptions,
    inputs: built.inputs,
    outbox: built.outbox,
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
  });
  stack.defer(() => reload.close());
  reload.start();
  const closing = new AbortController();
  stack.defer(() => closing.abort(new Error('the sidecar is closing')));
  life.start(AbortSignal.any([signal, closing.signal]));
  return {
    options,
    ports: { http: http.port, grpc: grpcPort },
    blocks,
    stopInputs: () => {
      health.notReady('runtime');
      return life.stop();
    },
    untilUnhealthy: () => life.untilUnhealthy(),
  };
}

async function listen(stack: AsyncDisposableStack, server: GrpcServer, graceMs: number): Promise<number> {
  stack.defer(() => server.close(graceMs));
  return server.listen();
}

function appToken(node: Node): { readonly token?: string } {
  const token = node.env['APP_API_TOKEN'] ?? '';
  return token === '' ? {} : { token };
}

function createChannel(
  request: SidecarRequest,
  setup: SidecarSetup,
  store: ComponentStore,
): AppChannel | undefined {
  const { options, node } = request;
  if (options.appPort === 0) return undefined;
  const handlers = setup.configuration.appHttpPipeline;
  return createAppChannel({
    protocol: options.appProtocol,
    appId: options.appId,
    address: options.appAddress,
    port: options.appPort,
    maxConcurrency: Math.max(0, options.appMaxConcurrency),
    ...appToken(node),
    ...(handlers.length === 0 ? {} : { pipeline: pipelineOf(handlers, store) }),
    maxMessageBytes: options.maxBodyBytes,
    metrics: setup.metrics,
    clock: node.clock,
    log: node.log.child('dapr.runtime.channel', { app_id: options.appId }),
  });
}

/** Middleware components in the order of the pipeline; a missing one is left out silently (components reference, section 9). */
function pipelineOf(
  handlers: readonly PipelineHandler[],
  store: ComponentStore,
): () => readonly HttpMiddleware[] {
  if (handlers.length === 0) return () => [];
  return () => handlers.flatMap(({ name }) => store.get('middleware', name)?.instance ?? []);
}

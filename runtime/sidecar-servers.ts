/** The listeners of one sidecar: internal gRPC, gRPC API, HTTP API and metrics, opened in this order, closed in reverse. */

import type { AppHealthWatch } from './app-channel/app-health.ts';
import { asGrpcChannel } from './app-channel/create.ts';
import { eventFields } from './app-channel/grpc-event.ts';
import type { Health } from './building-blocks/health/health.ts';
import { createAccessCheck } from './building-blocks/invoke/access-control.ts';
import { createInvocationMetrics } from './building-blocks/invoke/invocation-metrics.ts';
import type { ComponentStore } from './components/store.ts';
import type { AppChannel } from './contracts/app-channel.ts';
import type { Blocks } from './contracts/blocks.ts';
import { errorText } from './contracts/error.ts';
import type { Logger } from './contracts/logger.ts';
import type { MeshSecurity } from './contracts/mesh-security.ts';
import { isTruthy } from './contracts/metadata.ts';
import type { NameResolver } from './contracts/name-resolver.ts';
import type { Policies } from './contracts/resiliency.ts';
import type { SidecarOptions } from './flags.ts';
import { createProxyHandler } from './grpc/proxy.ts';
import { createReflectionServices } from './grpc/reflection.ts';
import { type ReservedPort, reservePort } from './grpc/reserved-port.ts';
import { BACKLOG, createGrpcServer } from './grpc/server.ts';
import { createDaprService } from './grpc/services/dapr.ts';
import { createTaskHubService } from './grpc/services/task-hub.ts';
import type { GrpcClientPool } from './grpc-client/client.ts';
import { createMetricsServer } from './http/metrics-server.ts';
import { createHttpServer } from './http/server.ts';
import type { Node } from './node.ts';
import { createPeerService } from './peer/peer-server.ts';
import { openProxyStream } from './peer/proxy-target.ts';
import type { EdgeLink } from './relay/edge-link.ts';
import { pipelineOf } from './sidecar-channel.ts';
import type { SidecarSetup } from './sidecar-setup.ts';

export interface ServerParts {
  readonly node: Node;
  readonly options: SidecarOptions;
  readonly setup: SidecarSetup;
  readonly namespace: string;
  readonly blocks: Blocks;
  readonly store: ComponentStore;
  readonly policies: Policies;
  readonly channel: AppChannel | undefined;
  readonly appHealth: AppHealthWatch;
  readonly health: Health;
  readonly security: MeshSecurity | undefined;
  /** The internal port, taken before components started. */
  readonly internalPort: ReservedPort | undefined;
  readonly clients: GrpcClientPool;
  readonly resolver: () => NameResolver | undefined;
  readonly relay: EdgeLink | undefined;
  /** Address of the internal server of another app of this node. */
  readonly sibling: (appId: string) => string | undefined;
  readonly log: Logger;
}

/** Everybody may call, and is counted. */
const NO_ACCESS_CONTROL = { defaultAction: 'allow', trustDomain: 'public', policies: [] };

const NO_LIMIT_MS = 24 * 3_600_000;

/** Time that calls in flight get when a server closes. */
function graceMs(options: SidecarOptions): number {
  return options.gracefulShutdownMs === 0 ? NO_LIMIT_MS : options.gracefulShutdownMs;
}

/**
 * Takes the internal port. One that nobody asked for gives way to any other when it is taken; `undefined` when the one that
 * was asked for cannot be had yet: then opening its server decides.
 */
export async function reserveInternalPort(
  { internalGrpcAddress: host, internalGrpcPort: wanted }: SidecarOptions,
  { internalPort: port }: SidecarSetup,
  log: Logger,
): Promise<ReservedPort | undefined> {
  try {
    return await reservePort({ host, port }, BACKLOG);
  } catch (error) {
    if (wanted === 0) return reservePort({ host, port: 0 }, BACKLOG);
    log.warn(`the internal gRPC port ${port} is not free yet: ${errorText(error)}`);
    return undefined;
  }
}

/** Opens every listener; what was opened closes with `stack`. Resolves with the ports in use. */
export async function openServers(
  parts: ServerParts,
  stack: AsyncDisposableStack,
): Promise<{ readonly http: number; readonly grpc: number }> {
  await openInternalServer(parts, stack);
  const grpc = await openGrpcServer(parts, stack);
  const http = await openHttpServer(parts, stack);
  await openMetricsServer(parts, stack);
  return { http, grpc };
}

function grpcLog({ node, options }: ServerParts): Logger {
  return node.log.child('dapr.runtime.grpc.api', { app_id: options.appId });
}

function grpcShared(parts: ServerParts) {
  const { tracer, metrics } = parts.setup;
  return {
    appId: parts.options.appId,
    tracer,
    metrics,
    clock: parts.node.clock,
    log: grpcLog(parts),
    maxMessageBytes: parts.options.maxBodyBytes,
  };
}

/** Methods that are not ours belong to somebody's app. The caller's sidecar applies the policy, the callee's does not again. */
function proxyOf(
  side: 'caller' | 'callee',
  {
    node,
    options,
    setup,
    namespace,
    policies,
    channel,
    appHealth,
    security,
    clients,
    resolver,
    sibling,
    log,
  }: ServerParts,
) {
  const { appId } = options;
  const { accessControl } = setup.configuration;
  const target = {
    appId,
    namespace,
    resolver,
    clients,
    appClient: () => asGrpcChannel(channel)?.client,
    appHealth: {
      get healthy() {
        return !options.appHealth.enabled || appHealth.healthy;
      },
    },
    appToken: node.env['APP_API_TOKEN'] ?? '',
    accessCheck: createAccessCheck(accessControl ?? NO_ACCESS_CONTROL, setup.metrics, log),
    ownAppOnly: side === 'callee' && security !== undefined,
    siblingClient: (id: string) => {
      const address = sibling(id);
      const own = namespace === '' ? 'default' : namespace;
      return address === undefined ? undefined : clients.client(address, { namespace: own, appId: id });
    },
  };
  return createProxyHandler({
    policy: (id, path) =>
      side === 'callee' || id === appId || !policies.hasAppPolicy(id)
        ? undefined
        : policies.app(id, `${id}:${path}`),
    metrics: createInvocationMetrics(setup.metrics),
    clock: node.clock,
    open: ({ path, metadata, signal, timeoutMs, call, leaving }) =>
      openProxyStream(
        { path, metadata, signal, timeoutMs, span: call.span, callerId: call.callerId },
        target,
        leaving,
      ),
  });
}

async function openInternalServer(parts: ServerParts, stack: AsyncDisposableStack): Promise<void> {
  const { options, setup } = parts;
  const peer = createPeerService({ invoke: parts.blocks.invoke, appId: options.appId });
  const server = createGrpcServer({
    ...grpcShared(parts),
    protocol: 'internal',
    addresses: [options.internalGrpcAddress],
    port: setup.internalPort,
    tls: parts.security?.server,
    reserved: parts.internalPort,
    services: [peer, ...createReflectionServices([peer])],
    unknownMethod: proxyOf('callee', parts),
  });
  stack.defer(() => server.close(graceMs(options)));
  await server.listen();
  const linked = parts.relay?.register({
    appId: options.appId,
    namespace: parts.namespace === '' ? 'default' : parts.namespace,
    serve: server.serve,
  });
  stack.defer(() => linked?.close());
  parts.log.info(`Internal gRPC server is running on ${options.internalGrpcAddress}:${setup.internalPort}`);
  parts.health.ready('internal-grpc-server');
}

async function openGrpcServer(parts: ServerParts, stack: AsyncDisposableStack): Promise<number> {
  const { node, options, setup, namespace, blocks } = parts;
  const { configuration } = setup;
  const apiToken = node.env['DAPR_API_TOKEN'] ?? '';
  const draining = new AbortController();
  const dapr = createDaprService({
    blocks,
    appId: options.appId,
    namespace,
    clock: node.clock,
    topicEventFields: eventFields,
    draining: draining.signal,
  });
  const server = createGrpcServer({
    ...grpcShared(parts),
    protocol: 'grpc',
    addresses: listenAddresses(options),
    port: options.grpcPort,
    ...(options.unixSocketDir === undefined
      ? {}
      : { unixSocket: `${options.unixSocketDir}/dapr-${options.appId}-grpc.socket` }),
    services: [dapr, createTaskHubService(), ...createReflectionServices([dapr])],
    unknownMethod: proxyOf('caller', parts),
    ...(apiToken === '' ? {} : { apiToken }),
    recordErrorCodes: configuration.metrics.recordErrorCodes,
    apiLists: configuration.api,
    ...(apiLogging(parts) ? { apiLog: grpcLog(parts).child('dapr.runtime.grpc.api-info') } : {}),
  });
  stack.defer(() => server.close(graceMs(options)));
  const port = await server.listen();
  stack.defer(() => draining.abort(new Error('the sidecar is shutting down')));
  parts.log.info(`API gRPC server is running on port ${port}`);
  parts.health.ready('api-server');
  return port;
}

async function openHttpServer(parts: ServerParts, stack: AsyncDisposableStack): Promise<number> {
  const { node, options, setup } = parts;
  const { configuration, tracer, metrics } = setup;
  const server = createHttpServer({
    appId: options.appId,
    blocks: parts.blocks,
    tracer,
    log: node.log.child('dapr.runtime.http', { app_id: options.appId }),
    clock: node.clock,
    metrics,
    httpMetrics: configuration.metrics,
    limits: { maxBodyBytes: options.maxBodyBytes, readBufferBytes: options.readBufferBytes },
    apiToken: node.env['DAPR_API_TOKEN'] ?? '',
    allowedOrigins: options.allowedOrigins,
    apiAccess: configuration.api,
    pipeline: pipelineOf(configuration.httpPipeline, parts.store),
    apiLogging: { ...configuration.apiLogging, enabled: apiLogging(parts) },
    addresses: listenAddresses(options),
    port: options.httpPort,
    ...(options.publicPort === undefined
      ? {}
      : { publicPort: options.publicPort, publicAddress: options.publicAddress }),
    ...(options.unixSocketDir === undefined ? {} : { unixSocket: options.unixSocketDir }),
    h2c: !isTruthy(node.env['DAPR_HTTP_DISABLE_H2C']),
  });
  stack.defer(() => server.close(graceMs(options)));
  await server.listen();
  const where = options.unixSocketDir === undefined ? server.port : 'unix socket';
  parts.log.info(`HTTP server is running on port ${where}`);
  parts.health.ready('http-server');
  return server.port;
}

async function openMetricsServer(
  { options, setup }: ServerParts,
  stack: AsyncDisposableStack,
): Promise<void> {
  if (options.metricsPort === undefined || !setup.configuration.metrics.enabled) return;
  const server = createMetricsServer({
    address: options.metricsAddress,
    port: options.metricsPort,
    render: () => setup.metrics.render(),
  });
  await server.listen();
  stack.defer(() => server.close());
}

/** Empty means every interface. */
function listenAddresses(options: SidecarOptions): readonly string[] {
  return options.listenAddresses.length > 0 ? options.listenAddresses : [''];
}

function apiLogging({ options, setup }: ServerParts): boolean {
  return options.apiLogging ?? setup.configuration.apiLogging.enabled;
}

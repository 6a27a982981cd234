/** Composition root of `skerry relay`: registry, authority, name resolution, listeners. Closed in reverse by one stack. */

import { catalog } from '../edge-components/catalog.ts';
import { createRegistry } from './components/registry.ts';
import type { ComponentDeps } from './contracts/component.ts';
import { errorText } from './contracts/error.ts';
import type { NameResolver } from './contracts/name-resolver.ts';
import { createGrpcClientPool } from './grpc-client/client.ts';
import { hostAddress } from './host-address.ts';
import { createMetricsServer } from './http/metrics-server.ts';
import type { Node } from './node.ts';
import { createMetrics } from './platform/metrics.ts';
import { createTracer } from './platform/trace-context.ts';
import { openAdmin } from './relay/admin.ts';
import { issueListener, LISTENER_LIFETIME_MS, loadAuthority } from './relay/authority-files.ts';
import {
  type CloudPortOptions,
  createAnnouncements,
  createCloudPort,
  type Place,
} from './relay/cloud-side.ts';
import { createEnrolling } from './relay/enrolling.ts';
import { createLinkTable } from './relay/link-table.ts';
import { createRelayListener } from './relay/listener.ts';
import { createMeshPlaces } from './relay/mesh-places.ts';
import type { RelayRegistry } from './relay/registry.ts';
import { createRelay, type Relay } from './relay/relay.ts';
import { type BesideOptions, openDoor } from './relay/sidecar-beside.ts';
import { createSqliteRegistry, RELAY_MIGRATION } from './relay/sqlite-registry.ts';
import { createSwitchboard, type Switchboard } from './relay/switchboard.ts';
import { openCompany } from './relay-company.ts';
import { loadConfiguration } from './resources/configuration.ts';
import { faultText } from './resources/documents.ts';
import { type MtlsFlags, securitySettings } from './security/settings.ts';
import { openResolver } from './sidecar-names.ts';

export interface RelayProcessOptions {
  /** Where nodes dial in. */
  readonly listenHost: string;
  readonly listenPort: number;
  /** Names and addresses by which nodes reach the listener. */
  readonly publicHosts: readonly string[];
  /** Bind address and port of Dapr's internal gRPC; 0 picks a free port. */
  readonly internalAddress: string;
  readonly internalPort: number;
  readonly metricsAddress: string;
  /** `undefined`: no metrics endpoint. */
  readonly metricsPort: number | undefined;
  readonly configFiles: readonly string[];
  readonly caCert: string | undefined;
  readonly caKey: string | undefined;
  readonly trustDomain: string;
  readonly certificateTtlMs: number;
  readonly maxLinks: number;
  readonly maxMessageBytes: number;
  /** Connection string of the registry that relays share; `undefined`: a file of this relay's own. */
  readonly registry?: string | undefined;
  /** Where other relays hand over calls; 0 picks a free port. */
  readonly relaysPort: number;
  /** A sidecar that nodes may ask. */
  readonly sidecar?: BesideOptions | undefined;
  /** Whether the sidecars beside the relay are a mesh of Dapr's sentry. */
  readonly mtls: MtlsFlags;
}

export interface RunningRelay {
  readonly port: number;
  readonly internalPort: number;
  close(): Promise<void>;
}

/** Connections that are no links yet, on top of the links. */
const STRANGERS = 256;

export async function startRelay(
  node: Node,
  options: RelayProcessOptions,
  signal: AbortSignal,
): Promise<RunningRelay> {
  await using stack = new AsyncDisposableStack();
  const { clock, random } = node;
  const log = node.log.child('skerry.relay');
  const namespace = node.env['NAMESPACE'] ?? 'default';
  const loaded = await loadConfiguration(options.configFiles, node.env);
  if (!loaded.ok) throw new Error(`the Configuration: ${loaded.faults.map(faultText).join('; ')}`);
  const { configuration } = loaded;
  const metrics = createMetrics({
    common: { app_id: 'skerry-relay' },
    latencyBuckets: configuration.metrics.latencyBuckets,
  });
  const attached = node.metrics.attach(metrics);
  stack.defer(() => attached.detach());

  const authority = await loadAuthority({ ...options, dataDir: node.dataDir, clock, random });
  const { trustDomain, certificateTtlMs } = options;
  const address = await hostAddress(node.env, options.internalAddress);
  const portParts = {
    address: options.internalAddress,
    maxMessageBytes: options.maxMessageBytes,
    switchboard: () => switchboard,
    tracer: createTracer({
      samplingRate: '0',
      random,
      now: () => clock.now(),
      monotonicMs: () => clock.monotonicMs(),
    }),
    clock,
    log,
    metrics,
  };
  const company =
    options.registry === undefined
      ? undefined
      : await openCompany({
          ...portParts,
          registry: options.registry,
          port: options.relaysPort,
          host: address,
          authority,
          trustDomain,
          random,
          relay: () => relay,
        });
  stack.defer(() => company?.close());
  const registry = company?.registry ?? (await ownRegistry(node, stack));
  const enrolling = createEnrolling({
    registry,
    authority,
    trustDomain,
    certificateTtlMs,
    clock,
    random,
    log,
  });

  const deps: ComponentDeps = {
    componentName: 'nameresolution',
    appId: 'skerry-relay',
    namespace,
    clock,
    ids: node.ids,
    random,
    log: node.log.child('dapr.contrib', { component: 'nameresolution' }),
    metrics,
    databases: node.databases,
    broker: node.broker,
    spools: node.spools,
    env: node.env,
    nodeKey: node.key,
    endpoint: async () => undefined,
  };
  const resolver: NameResolver = await openResolver({
    configuration: configuration.nameResolution,
    registry: createRegistry(catalog),
    deps,
    signal,
  });
  stack.defer(() => resolver.close());

  let internalPort = 0;
  const ports = new Set<string>();
  // The table of Dapr's SQLite resolver has one row for an address: at one port all apps would displace each other.
  const portPerApp = configuration.nameResolution?.component === 'sqlite';
  const mesh = options.mtls.enabled
    ? createMeshPlaces({
        ...portParts,
        random,
        settings: (appId) =>
          securitySettings({ appId, flags: options.mtls, env: node.env, configuration: configuration.mtls }),
      })
    : undefined;
  // Said at the start, not with the first link.
  if (mesh !== undefined) mesh.check();
  const announcements = createAnnouncements({
    resolver: () => resolver,
    address,
    namespace,
    place: async (appId, placeSignal) => {
      const place =
        (await mesh?.open(appId, placeSignal)) ??
        (portPerApp ? await plainPlace(portParts) : { port: internalPort, close: async () => {} });
      const own = `:${place.port}`;
      ports.add(own);
      return {
        port: place.port,
        close: async () => {
          if (place.port !== internalPort) ports.delete(own);
          await place.close();
        },
      };
    },
    log,
  });
  const links = createLinkTable(announcements.set);
  const clients = createGrpcClientPool({ clock, limits: { maxMessageBytes: options.maxMessageBytes } });
  stack.defer(() => clients.close());
  const switchboard: Switchboard = createSwitchboard({
    links,
    resolver: () => resolver,
    clients: (caller) => mesh?.clients(caller) ?? clients,
    trustDomain,
    namespace,
    elsewhere: company?.elsewhere,
    isOwn: (where) => {
      if (company?.isOther(where) === true) return true;
      const host = address.includes(':') ? `[${address}]` : address;
      return where.startsWith(`${host}:`) && ports.has(where.slice(host.length));
    },
    log,
    metrics,
  });
  if (mesh === undefined) {
    const cloud = createCloudPort({ ...portParts, port: options.internalPort });
    stack.defer(() => cloud.close(CLOSE_GRACE_MS));
    internalPort = await cloud.listen();
  }

  const door =
    options.sidecar === undefined
      ? undefined
      : await openDoor({
          ...options.sidecar,
          maxMessageBytes: options.maxMessageBytes,
          clock,
          log,
          metrics,
        });
  stack.defer(() => door?.close());
  const relay: Relay = createRelay({
    registry,
    enrolling,
    links: (await company?.join(links, internalPort)) ?? links,
    switchboard,
    door,
    authority: authority.certificates,
    trustDomain,
    maxLinks: options.maxLinks,
    maxMessageBytes: options.maxMessageBytes,
    clock,
    log,
    metrics,
  });
  stack.defer(() => announcements.close());
  stack.defer(() => relay.close());

  const issue = () => issueListener(authority, options.publicHosts, clock.now());
  let credentials = issue();
  const listener = createRelayListener({
    host: options.listenHost,
    port: options.listenPort,
    authority: authority.certificates,
    credentials: () => credentials,
    maxConnections: options.maxLinks + STRANGERS,
    clock,
    log,
    link: relay.link,
    request: async (path, body) =>
      path === '/v1/enroll'
        ? await enrolling.enrol(body)
        : { status: 404, answer: { error: 'nodes enrol with POST /v1/enroll' } },
  });
  const port = await listener.listen().catch((cause: unknown) => {
    throw new Error(
      `the relay cannot listen on ${options.listenHost}:${options.listenPort}: ${errorText(cause)}`,
      {
        cause,
      },
    );
  });
  stack.defer(() => listener.close());
  const renewal = (): void => {
    credentials = issue();
    listener.renew();
    timer = clock.startTimer(LISTENER_LIFETIME_MS / 4, renewal, true);
  };
  let timer = clock.startTimer(LISTENER_LIFETIME_MS / 4, renewal, true);
  stack.defer(() => timer.cancel());

  const admin = await openAdmin({
    dataDir: node.dataDir,
    random,
    relay: { revoke: relay.revoke, nodes: company?.nodes(relay.nodes) ?? relay.nodes },
    enrolling,
  });
  stack.defer(() => admin.close());
  if (options.metricsPort !== undefined) {
    const server = createMetricsServer({
      address: options.metricsAddress,
      port: options.metricsPort,
      render: () => metrics.render(),
    });
    await server.listen();
    stack.defer(() => server.close());
  }
  log.info('relay is up', { listen_port: port, internal_address: `${address}:${internalPort}` });
  const closing = stack.move();
  return { port, internalPort, close: () => closing.disposeAsync() };
}

const CLOSE_GRACE_MS = 2000;

async function plainPlace(parts: Omit<CloudPortOptions, 'port'>): Promise<Place> {
  const server = createCloudPort({ ...parts, port: 0 });
  const port = await server.listen();
  return { port, close: () => server.close(CLOSE_GRACE_MS) };
}

async function ownRegistry(node: Node, stack: AsyncDisposableStack): Promise<RelayRegistry> {
  const database = await node.databases.system([RELAY_MIGRATION]);
  stack.defer(() => database.close());
  return createSqliteRegistry(database, node.clock);
}

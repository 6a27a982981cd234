/** What a sidecar reads before anything runs: Configuration, resources, addresses, tracing and metrics. */

import { errorText } from './contracts/error.ts';
import type { Logger } from './contracts/logger.ts';
import type { ComponentResource, ConfigurationResource } from './contracts/resource.ts';
import type { Tracer } from './contracts/trace.ts';
import type { SidecarOptions } from './flags.ts';
import { hostAddress, stablePort } from './host-address.ts';
import type { Node } from './node.ts';
import { createMetricRules } from './platform/metric-rules.ts';
import { createMetrics, type MetricsRegistry } from './platform/metrics.ts';
import { createTracer } from './platform/trace-context.ts';
import { readResources } from './read-resources.ts';
import { loadConfiguration } from './resources/configuration.ts';
import { faultText, type ResourceFault } from './resources/documents.ts';
import type { LoadedResources } from './resources/load.ts';
import type { Exporters } from './telemetry/exporters.ts';

export interface SidecarSetup {
  readonly configuration: ConfigurationResource;
  readonly resources: LoadedResources;
  readonly tracer: Tracer;
  /** Sends the spans that wait, for at most `limitMs`. */
  readonly flushTraces: (limitMs: number) => Promise<void>;
  readonly metrics: MetricsRegistry;
  readonly internalPort: number;
  readonly hostAddress: string;
}

/** Everything that is wrong, one fault per line. */
function refuse(what: string, faults: readonly ResourceFault[]): never {
  const fatal = faults.filter((fault) => fault.fatal);
  const told = fatal.length > 0 ? fatal : faults;
  // Of duplicates Dapr's own text comes first, which people search their logs for, and all their files at the end.
  const duplicates = told.filter((fault) => fault.reason === 'duplicate');
  const texts = [
    ...duplicates.map((fault) => fault.message),
    ...told.filter((fault) => fault.reason !== 'duplicate').map(faultText),
  ];
  const files = [...new Set(duplicates.map((fault) => fault.origin.file))].join(', ');
  throw new Error(`${what}: ${texts.join('\n')}${files === '' ? '' : ` [${files}]`}`);
}

const PARENT_SAMPLERS =
  'remoteParentSampled:AlwaysOnSampler,remoteParentNotSampled:AlwaysOffSampler,localParentSampled:AlwaysOnSampler,localParentNotSampled:AlwaysOffSampler';

/** What of the Configuration is in force, in the words of Dapr's log. */
function logConfiguration(configuration: ConfigurationResource, log: Logger): void {
  const { increasedCardinality, pathMatching, excludeVerbs, ...metrics } = configuration.metrics;
  const spec = { ...metrics, http: { increasedCardinality, pathMatching, excludeVerbs } };
  log.info(`metric spec: ${JSON.stringify(spec)}`);
  const rate = Number(configuration.tracing.samplingRate || 'NaN');
  const root = `root:TraceIDRatioBased{${Number.isNaN(rate) ? 0.0001 : rate}}`;
  log.info(`Dapr trace sampler initialized: ParentBased{${root},${PARENT_SAMPLERS}}`);
}

export async function readSetup(
  node: Node,
  options: SidecarOptions,
  defaults: boolean,
): Promise<SidecarSetup> {
  const loaded = await loadConfiguration(options.configFiles, node.env);
  if (!loaded.ok) refuse('failed to load the Configuration', loaded.faults);
  const { configuration } = loaded;
  logConfiguration(configuration, node.log);
  const resources = await readResources({
    directories: options.resourcePaths,
    appId: options.appId,
    namespace: node.env['NAMESPACE'],
  });
  for (const fault of resources.faults)
    if (!fault.fatal) node.log.warn(`A resource was skipped: ${faultText(fault)}`);
  if (resources.faults.some((fault) => fault.fatal)) refuse('failed to load components', resources.faults);
  const withDefaults =
    defaults && options.resourcePaths.length === 0
      ? { ...resources, components: defaultComponents() }
      : resources;
  const rewrite = createMetricRules(configuration.metrics.rules);
  const metrics = createMetrics({
    ...(rewrite === undefined ? {} : { rewrite }),
    common: { app_id: options.appId },
    latencyBuckets: configuration.metrics.latencyBuckets,
  });
  const exporters = await openExporters(node, options, configuration, metrics);
  return {
    configuration,
    resources: withDefaults,
    tracer: createTracer({
      samplingRate: configuration.tracing.samplingRate,
      random: node.random,
      now: () => node.clock.now(),
      monotonicMs: () => node.clock.monotonicMs(),
      ...(exporters === undefined ? {} : { exporter: exporters.add, refused: exporters.refused }),
    }),
    flushTraces: async (limitMs) => exporters?.close(limitMs),
    metrics,
    internalPort:
      options.internalGrpcPort === 0
        ? stablePort(options.appId, process.cwd(), node.hostName)
        : options.internalGrpcPort,
    hostAddress: await hostAddress(node.env, options.internalGrpcAddress).catch((error) => {
      node.log.warn(`the address of this host is not known: ${errorText(error)}`);
      return '127.0.0.1';
    }),
  };
}

/** The exporters' code is loaded when the Configuration or the environment names one. */
async function openExporters(
  node: Node,
  { appId }: SidecarOptions,
  { tracing }: ConfigurationResource,
  metrics: MetricsRegistry,
): Promise<Exporters | undefined> {
  const { stdout, zipkinEndpoint, otel } = tracing;
  const otlp = otel.endpointAddress !== '' && otel.protocol !== '';
  if (!stdout && zipkinEndpoint === '' && !otlp) return undefined;
  const { createExporters } = await import('./telemetry/exporters.ts');
  const log = node.log.child('dapr.runtime.trace', { app_id: appId });
  return createExporters({ tracing, appId, env: node.env, clock: node.clock, log, metrics });
}

/** `statestore` on the node's own database and `pubsub` on its own broker. */
function defaultComponents(): readonly ComponentResource[] {
  const component = (
    name: string,
    type: string,
    items: Readonly<Record<string, string>>,
  ): ComponentResource => ({
    kind: 'Component',
    name,
    namespace: '',
    scopes: [],
    origin: { file: '(built in)', document: 0 },
    type,
    version: 'v1',
    ignoreErrors: false,
    initTimeoutMs: 5000,
    metadata: Object.entries(items).map(([item, value]) => ({ name: item, value })),
    secretStore: '',
  });
  return [
    component('statestore', 'state.sqlite', { connectionString: 'skerry:system', actorStateStore: 'true' }),
    component('pubsub', 'pubsub.mqtt3', { url: 'embedded:' }),
  ];
}

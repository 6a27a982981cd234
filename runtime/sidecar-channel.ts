/** The way to the app beside a sidecar, with the middleware of `appHttpPipeline`. */

import { createClientMetrics } from './app-channel/client-metrics.ts';
import { createAppChannel } from './app-channel/create.ts';
import type { ExternalHttp } from './building-blocks/invoke/external-http.ts';
import type { ComponentStore } from './components/store.ts';
import type { AppChannel } from './contracts/app-channel.ts';
import type { HttpMiddleware } from './contracts/http-middleware.ts';
import type { ConfigurationResource, PipelineHandler } from './contracts/resource.ts';
import type { SidecarOptions } from './flags.ts';
import { createMetricLabels } from './http/metric-labels.ts';
import type { Node } from './node.ts';
import { createExternalHttp } from './peer/external-http.ts';
import type { SidecarSetup } from './sidecar-setup.ts';

/** `undefined` without an app port. */
export function openChannel(
  node: Node,
  options: SidecarOptions,
  setup: SidecarSetup,
  store: ComponentStore,
): AppChannel | undefined {
  if (options.appPort === 0) return undefined;
  const token = node.env['APP_API_TOKEN'] ?? '';
  const handlers = setup.configuration.appHttpPipeline;
  return createAppChannel({
    protocol: options.appProtocol,
    appId: options.appId,
    address: options.appAddress,
    port: options.appPort,
    maxConcurrency: Math.max(0, options.appMaxConcurrency),
    ...(token === '' ? {} : { token }),
    ...(handlers.length === 0 ? {} : { pipeline: pipelineOf(handlers, store) }),
    maxMessageBytes: options.maxBodyBytes,
    metrics: setup.metrics,
    metricLabel: clientLabels(setup.configuration.metrics),
    clock: node.clock,
    log: node.log.child('dapr.runtime.channel', { app_id: options.appId }),
  });
}

/** The way to hosts outside the mesh. */
export function openExternal(node: Node, { configuration, metrics }: SidecarSetup): ExternalHttp {
  const { clock } = node;
  const token = node.env['APP_API_TOKEN'] ?? '';
  const label = clientLabels(configuration.metrics);
  return createExternalHttp({
    clock,
    clientMetrics: createClientMetrics({ metrics, clock, label }),
    ...(token === '' ? {} : { appToken: token }),
  });
}

/** Labels of calls to the app, under the rules that hold for the API's own. */
function clientLabels(options: ConfigurationResource['metrics']) {
  const labels = createMetricLabels(options);
  return (verb: string, path: string) => ({ method: labels.method(verb), path: labels.called(path) });
}

/** Middleware in the order of the pipeline; one that is missing or of another type is left out (components reference, 9). */
export function pipelineOf(
  handlers: readonly PipelineHandler[],
  store: ComponentStore,
): () => readonly HttpMiddleware[] {
  if (handlers.length === 0) return () => [];
  return () =>
    handlers.flatMap(({ name, type }) => {
      const component = store.get('middleware', name);
      return component?.type.toLowerCase() === type.toLowerCase() ? component.instance : [];
    });
}

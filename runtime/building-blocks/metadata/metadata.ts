/** What the sidecar is made of (HTTP reference, section 19). Extended values live as long as the process. */

import type { MetadataAnswer, MetadataBlock, SubscriptionInfo } from '../../contracts/blocks.ts';
import type { LoadedComponent } from '../../contracts/component-source.ts';
import { runtimeError } from '../../contracts/error.ts';

export interface MetadataBlockDeps {
  readonly appId: string;
  readonly version: string;
  readonly features: () => readonly string[];
  /** In the order in which they were loaded, which is the order they are listed in. */
  readonly components: () => readonly LoadedComponent[];
  readonly subscriptions: () => readonly SubscriptionInfo[];
  readonly httpEndpoints: () => readonly string[];
  readonly resiliencies: () => readonly string[];
  readonly appConnection: MetadataAnswer['appConnection'];
}

const MAX_EXTENDED = 1000;

export function createMetadataBlock(deps: MetadataBlockDeps): MetadataBlock {
  const extended = new Map<string, string>();
  return {
    get: () => ({
      id: deps.appId,
      runtimeVersion: deps.version,
      enabledFeatures: deps.features(),
      components: deps
        .components()
        .map(({ name, type, version, capabilities }) => ({ name, type, version, capabilities })),
      extended: { ...Object.fromEntries(extended), daprRuntimeVersion: deps.version },
      subscriptions: deps.subscriptions(),
      httpEndpoints: deps.httpEndpoints(),
      appConnection: deps.appConnection,
      actorRuntime: { status: 'DISABLED', hostReady: false, placement: 'placement: disconnected' },
      schedulerAddresses: [],
      resiliencies: deps.resiliencies(),
    }),
    set: (key, value) => {
      if (key === '') return;
      if (extended.size >= MAX_EXTENDED && !extended.has(key))
        throw runtimeError('overloaded', { what: 'the table of extended metadata' });
      extended.set(key, value);
    },
  };
}

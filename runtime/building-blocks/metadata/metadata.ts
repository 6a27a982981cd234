/** What the sidecar is made of (HTTP reference, section 19). Extended values live as long as the process. */

import type { MetadataAnswer, MetadataBlock, SubscriptionInfo } from '../../contracts/blocks.ts';
import type { Category } from '../../contracts/component.ts';
import type { ComponentSource } from '../../contracts/component-source.ts';
import { runtimeError } from '../../contracts/error.ts';

export interface MetadataBlockDeps {
  readonly appId: string;
  readonly version: string;
  readonly features: () => readonly string[];
  readonly components: ComponentSource;
  readonly subscriptions: () => readonly SubscriptionInfo[];
  readonly httpEndpoints: () => readonly string[];
  readonly resiliencies: () => readonly string[];
  readonly appConnection: MetadataAnswer['appConnection'];
}

/** Categories that the API lists, in the order they are listed. */
const LISTED: readonly Category[] = [
  'state',
  'pubsub',
  'bindings',
  'secretstores',
  'configuration',
  'lock',
  'crypto',
  'conversation',
  'middleware',
];
const MAX_EXTENDED = 1000;

export function createMetadataBlock(deps: MetadataBlockDeps): MetadataBlock {
  const extended = new Map<string, string>();
  return {
    get: () => ({
      id: deps.appId,
      runtimeVersion: deps.version,
      enabledFeatures: deps.features(),
      components: LISTED.flatMap((category) =>
        deps.components
          .list(category)
          .map(({ name, type, version, capabilities }) => ({ name, type, version, capabilities })),
      ),
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

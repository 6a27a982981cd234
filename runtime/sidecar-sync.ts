/** Starts the Sync resources of a sidecar; nothing is loaded without one. */

import type { SyncDeps } from './building-blocks/sync/deps.ts';
import type { Sync } from './building-blocks/sync/sync.ts';
import type { Registry } from './components/registry.ts';
import type { ComponentStore } from './components/store.ts';
import type { ComponentDeps } from './contracts/component.ts';
import { decodeMetadata } from './contracts/metadata.ts';
import type { PubSub } from './contracts/pubsub.ts';
import type { SidecarOptions } from './flags.ts';
import type { Node } from './node.ts';
import type { SidecarSetup } from './sidecar-setup.ts';

export interface SyncParts {
  readonly node: Node;
  readonly options: SidecarOptions;
  readonly setup: SidecarSetup;
  readonly namespace: string;
  readonly store: ComponentStore;
  readonly registry: Registry;
  readonly deps: (componentName: string) => ComponentDeps;
  readonly publish: SyncDeps['publish'];
}

const INIT_MS = 20_000;
/** Brokers whose sessions belong to one client, which has one handler per topic: a subscriber of ours needs its own. */
const OWN_SESSION = /^pubsub\.mqtt3?$/i;

export async function openSync(parts: SyncParts): Promise<Sync | undefined> {
  const { node, options, setup } = parts;
  const { syncs } = setup.resources;
  if (syncs.length === 0) return undefined;
  const { createSync } = await import('./building-blocks/sync/sync.ts');
  const sync = await createSync(syncs, {
    appId: options.appId,
    namespace: parts.namespace,
    components: parts.store,
    publish: parts.publish,
    sourceOf: sourceOf(parts),
    nodeKey: node.key,
    databases: node.databases,
    spools: node.spools,
    clock: node.clock,
    ids: node.ids,
    random: node.random,
    log: node.log.child('skerry.sync', { app_id: options.appId }),
    metrics: setup.metrics,
  });
  try {
    await sync.start();
  } catch (error) {
    await sync.close();
    throw error;
  }
  return sync;
}

/** A second session beside the app's where one cannot serve both. */
function sourceOf({ registry, deps, options }: SyncParts): SyncDeps['sourceOf'] {
  return async (component, subscriber, signal) => {
    const { name, type, version, metadata, instance } = component;
    if (!OWN_SESSION.test(type)) return { instance, close: async () => undefined };
    const items: Record<string, string> = {};
    let client = options.appId;
    for (const [item, value] of Object.entries(metadata)) {
      if (item.toLowerCase() !== 'consumerid') items[item] = value;
      else if (value !== '') client = value;
    }
    const definition = await registry.find(type, version, signal);
    const decoded = decodeMetadata(definition.metadata, {
      ...items,
      consumerID: `${client}-sync-${subscriber}`,
    });
    if (!decoded.ok) throw new Error(decoded.faults.join('; '));
    const own: PubSub = definition.create(decoded.value, deps(name)) as PubSub;
    try {
      await own.init(AbortSignal.any([signal, AbortSignal.timeout(INIT_MS)]));
    } catch (error) {
      await own.close();
      throw error;
    }
    return { instance: own, close: () => own.close() };
  };
}

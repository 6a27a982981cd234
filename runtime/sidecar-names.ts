/**
 * Name resolution of one sidecar: the resolver that the Configuration names (mDNS by default), shared by the apps of the
 * node, and the announcement of this app. A resolver that cannot start is logged; the node goes on without neighbours.
 */

import type { Registry } from './components/registry.ts';
import type { ComponentDeps } from './contracts/component.ts';
import { errorText } from './contracts/error.ts';
import type { Logger } from './contracts/logger.ts';
import { decodeMetadata } from './contracts/metadata.ts';
import type { Announcement, NameResolver } from './contracts/name-resolver.ts';
import type { ConfigurationResource } from './contracts/resource.ts';
import type { UsagePool, Use } from './platform/usage-pool.ts';

export interface NameResolutionParts {
  readonly configuration: ConfigurationResource['nameResolution'];
  readonly registry: Registry;
  readonly deps: ComponentDeps;
  readonly pool: UsagePool;
  readonly announcement: Announcement;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

export interface NameResolution {
  readonly resolver: NameResolver | undefined;
  /** Makes this app known to others. */
  announce(): Promise<void>;
  close(): Promise<void>;
}

/** The resolver that the Configuration names, started. */
export async function openResolver(
  parts: Pick<NameResolutionParts, 'configuration' | 'registry' | 'deps' | 'signal'>,
): Promise<NameResolver> {
  const { component, version, configuration } = parts.configuration;
  const definition = await parts.registry.find(`nameresolution.${component}`, version);
  const items = Object.fromEntries(
    Object.entries(configuration).map(([name, value]) => [
      name,
      typeof value === 'string' ? value : JSON.stringify(value),
    ]),
  );
  const decoded = decodeMetadata(definition.metadata, items);
  if (!decoded.ok) throw new Error(`nameResolution ${component}: ${decoded.faults.join('; ')}`);
  const resolver = definition.create(decoded.value, parts.deps) as NameResolver;
  await resolver.init(parts.signal);
  return resolver;
}

export async function startNameResolution(parts: NameResolutionParts): Promise<NameResolution> {
  const { component, version, configuration } = parts.configuration;
  let use: Use<NameResolver> | undefined;
  try {
    use = await parts.pool.use(
      `nameresolution/${component}/${version}/${JSON.stringify(configuration)}`,
      () => openResolver(parts),
    );
    parts.log.info(`Initialized name resolution to ${component}`);
  } catch (error) {
    parts.log.warn(
      `failed to init name resolution ${component}: ${errorText(error)}; calls to other nodes will fail`,
    );
  }
  let registered: { close(): Promise<void> } | undefined;
  return {
    resolver: use?.value,
    announce: async () => {
      registered = await use?.value.register(parts.announcement).catch((error) => {
        parts.log.warn(`announcing ${parts.announcement.appId} failed: ${errorText(error)}`);
        return undefined;
      });
    },
    close: async () => {
      await registered?.close();
      await use?.release();
    },
  };
}

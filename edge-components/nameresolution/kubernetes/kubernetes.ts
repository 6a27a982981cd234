/**
 * `nameresolution.kubernetes`: sidecars of a cluster are found by the headless Service that Dapr's operator makes for each app
 * id. Its name is looked up for each resolution, so that an app without a Service is unknown at once and one of its pods is
 * taken by chance. Nothing is announced: Services are the cluster's own (`skerry relay services` writes those of linked nodes).
 */

import { lookup } from 'node:dns/promises';
import type { ComponentDeps } from '../../../runtime/contracts/component.ts';
import { errorText } from '../../../runtime/contracts/error.ts';
import type { NameResolver, ResolveRequest } from '../../../runtime/contracts/name-resolver.ts';
import { fillTemplate, type NameKubernetesMetadata } from './metadata.ts';

/** Dapr's internal gRPC in a cluster. */
const INTERNAL_PORT = 50_002;
const NOBODY = new Set(['ENOTFOUND', 'ENODATA', 'EAI_NODATA', 'EAI_NONAME']);

/** IP addresses of a host; rejects as `node:dns` does. */
export type Lookup = (host: string) => Promise<readonly string[]>;

export function createKubernetesResolver(
  metadata: NameKubernetesMetadata,
  { random }: Pick<ComponentDeps, 'random'>,
  find: Lookup = lookupAll,
): NameResolver {
  const nameOf = ({ appId, namespace }: ResolveRequest): string =>
    metadata.template === ''
      ? `${appId}-dapr.${namespace}.svc.${metadata.clusterDomain}:${INTERNAL_PORT}`
      : fillTemplate(metadata.template, {
          ID: appId,
          Namespace: namespace,
          Port: String(INTERNAL_PORT),
        });
  return {
    init: async () => {},
    register: async () => ({ close: async () => {} }),
    resolve: async (request, signal) => {
      const [, host = '', port = String(INTERNAL_PORT)] = /^(.*?)(?::(\d+))?$/.exec(nameOf(request)) ?? [];
      const addresses = await orAborted(find(host), signal).catch((error: unknown) => {
        signal.throwIfAborted();
        if (NOBODY.has((error as NodeJS.ErrnoException).code ?? '')) return [];
        throw new Error(`failed to resolve address for '${host}': ${errorText(error)}`, { cause: error });
      });
      const address = addresses[Math.floor(random.float() * addresses.length)];
      if (address === undefined) throw new Error(`couldn't find service: ${request.appId}`);
      return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
    },
    close: async () => {},
  };
}

async function lookupAll(host: string): Promise<readonly string[]> {
  return (await lookup(host, { all: true })).map(({ address }) => address);
}

/** A lookup cannot be called off; who waits for it can go. */
function orAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const leave = (): void => reject(signal.reason as Error);
    if (signal.aborted) leave();
    signal.addEventListener('abort', leave, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', leave));
  });
}

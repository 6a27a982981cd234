/** HTTPEndpoint resources with their references resolved, ready to be called. A bad one is warned about and left out. */

import type { ComponentSource } from '../contracts/component-source.ts';
import { errorText } from '../contracts/error.ts';
import type { RemoteEndpoint } from '../contracts/remote-endpoint.ts';
import type { HttpEndpointResource, MetadataEntry } from '../contracts/resource.ts';
import { type ItemSources, resolveEntry } from './metadata-items.ts';

/** Shape that the invoke block calls (`building-blocks/invoke/external-http.ts`). */
export type CallableEndpoint = RemoteEndpoint;

const SECRET_LIMIT_MS = 5000;

export async function resolveEndpoints(
  resources: readonly HttpEndpointResource[],
  components: ComponentSource,
  sources: Omit<ItemSources, 'secret'>,
): Promise<ReadonlyMap<string, CallableEndpoint>> {
  const endpoints = new Map<string, CallableEndpoint>();
  for (const resource of resources) {
    try {
      endpoints.set(resource.name, await resolveEndpoint(resource, components, sources));
    } catch (error) {
      sources.log.warn(
        `HTTPEndpoint ${resource.name} cannot be used: ${errorText(error)} [${resource.origin.file}]`,
      );
    }
  }
  return endpoints;
}

/** One endpoint, ready to be called; rejects when a reference of it cannot be resolved. */
export async function resolveEndpoint(
  resource: HttpEndpointResource,
  components: ComponentSource,
  sources: Omit<ItemSources, 'secret'>,
): Promise<CallableEndpoint> {
  const store = components.get('secretstores', resource.secretStore);
  const from: ItemSources =
    store === undefined
      ? sources
      : { ...sources, secret: (name) => store.instance.get(name, {}, AbortSignal.timeout(SECRET_LIMIT_MS)) };
  const text = (entry: MetadataEntry | undefined): Promise<string | undefined> =>
    entry === undefined
      ? Promise.resolve(undefined)
      : resolveEntry(entry, `HTTPEndpoint ${resource.name}`, from);
  const headers: [string, string][] = [];
  for (const entry of resource.headers) headers.push([entry.name, (await text(entry)) ?? '']);
  const rootCa = await text(resource.clientTls.rootCa);
  const certificate = await text(resource.clientTls.certificate);
  const privateKey = await text(resource.clientTls.privateKey);
  const tls = {
    ...(rootCa === undefined ? {} : { rootCa }),
    ...(certificate === undefined ? {} : { certificate }),
    ...(privateKey === undefined ? {} : { privateKey }),
  };
  return {
    name: resource.name,
    baseUrl: resource.baseUrl,
    headers,
    ...(Object.keys(tls).length === 0 ? {} : { tls }),
  };
}

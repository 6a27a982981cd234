/** Secrets: find the store, apply the scopes of the Configuration, read under the policy. */

import type { SecretsBlock, StringMap } from '../../contracts/blocks.ts';
import type { ComponentSource, LoadedComponent } from '../../contracts/component-source.ts';
import { errorText, runtimeError } from '../../contracts/error.ts';
import type { SecretScope } from '../../contracts/resource.ts';
import { type ComponentCallDeps, callComponent } from '../component-call.ts';

export interface SecretsBlockDeps extends ComponentCallDeps {
  readonly components: ComponentSource;
  readonly scopes: readonly SecretScope[];
}

/** A non-empty allow list is exclusive; else the deny list; else the default (HTTP reference, section 12). */
export function secretAllowed(scopes: readonly SecretScope[], store: string, key: string): boolean {
  const scope = scopes.find((candidate) => candidate.storeName === store);
  if (scope === undefined) return true;
  if (scope.allowedSecrets.length > 0) return scope.allowedSecrets.includes(key);
  if (scope.deniedSecrets.includes(key)) return false;
  return scope.defaultAccess !== 'deny';
}

export function createSecretsBlock(deps: SecretsBlockDeps): SecretsBlock {
  const find = (store: string): LoadedComponent<'secretstores'> => {
    if (deps.components.list('secretstores').length === 0) throw runtimeError('secretStoresNotConfigured');
    const component = deps.components.get('secretstores', store);
    if (component === undefined) throw runtimeError('secretStoreNotFound', { store });
    return component;
  };
  return {
    get: async (store, key, metadata, call) => {
      const component = find(store);
      if (!secretAllowed(deps.scopes, store, key)) throw runtimeError('secretDenied', { store, key });
      try {
        return await callComponent(deps, 'Secretstore', store, 'get', call, (signal) =>
          component.instance.get(key, metadata, signal),
        );
      } catch (error) {
        throw runtimeError('secretGet', { store, key, error: errorText(error) }, { cause: error });
      }
    },
    bulkGet: async (store, metadata, call) => {
      const component = find(store);
      let all: Readonly<Record<string, StringMap>> | undefined;
      try {
        all = await callComponent(deps, 'Secretstore', store, 'bulk_get', call, (signal) =>
          component.instance.bulkGet(metadata, signal),
        );
      } catch (error) {
        throw runtimeError('secretBulkGet', { store, error: errorText(error) }, { cause: error });
      }
      if (all === undefined) return undefined;
      return Object.fromEntries(
        Object.entries(all).filter(([key]) => secretAllowed(deps.scopes, store, key)),
      );
    },
  };
}

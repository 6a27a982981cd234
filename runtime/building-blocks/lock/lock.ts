/** Distributed lock: check the request, find the store, prefix the resource (HTTP reference, section 14). */

import type { LockBlock } from '../../contracts/blocks.ts';
import {
  type ComponentSource,
  type LoadedComponent,
  metadataItem,
} from '../../contracts/component-source.ts';
import { errorText, runtimeError } from '../../contracts/error.ts';
import type { UnlockStatus } from '../../contracts/lock-store.ts';
import { type ComponentCallDeps, callComponent } from '../component-call.ts';

export interface LockBlockDeps extends ComponentCallDeps {
  readonly appId: string;
  readonly components: ComponentSource;
}

const STATUS: Readonly<Record<UnlockStatus, 0 | 1 | 2 | 3>> = {
  released: 0,
  missing: 1,
  'owned-by-other': 2,
  'internal-error': 3,
};

export function createLockBlock(deps: LockBlockDeps): LockBlock {
  /** The checks in Dapr's order: expiry, any store, resource, owner, this store. */
  const find = (
    store: string,
    request: { resourceId: string; lockOwner: string; expiryInSeconds?: number },
  ): LoadedComponent<'lock'> => {
    if (request.expiryInSeconds !== undefined && !(request.expiryInSeconds > 0)) {
      throw runtimeError('lockExpiryNotPositive', { store });
    }
    if (deps.components.list('lock').length === 0) throw runtimeError('lockStoresNotConfigured');
    if (request.resourceId === '') throw runtimeError('lockResourceEmpty', { store });
    if (request.lockOwner === '') throw runtimeError('lockOwnerEmpty', { store });
    const component = deps.components.get('lock', store);
    if (component === undefined) throw runtimeError('lockStoreNotFound', { store });
    return component;
  };
  const resource = (component: LoadedComponent<'lock'>, id: string): string => {
    const setting = (metadataItem(component, 'keyPrefix') ?? '').toLowerCase();
    const prefix =
      setting === '' || setting === 'appid'
        ? deps.appId
        : setting === 'name'
          ? component.name
          : setting === 'none'
            ? ''
            : setting;
    return prefix === '' ? `lock||${id}` : `lock||${prefix}||${id}`;
  };
  return {
    tryLock: async (store, request, call) => {
      const component = find(store, request);
      try {
        return await callComponent(deps, 'Lock', store, 'try_lock', call, (signal) =>
          component.instance.tryLock(
            resource(component, request.resourceId),
            request.lockOwner,
            request.expiryInSeconds,
            signal,
          ),
        );
      } catch (error) {
        throw runtimeError('tryLock', { error: errorText(error) }, { cause: error });
      }
    },
    unlock: async (store, request, call) => {
      const component = find(store, request);
      try {
        return STATUS[
          await callComponent(deps, 'Lock', store, 'unlock', call, (signal) =>
            component.instance.unlock(resource(component, request.resourceId), request.lockOwner, signal),
          )
        ];
      } catch (error) {
        throw runtimeError('unlock', { error: errorText(error) }, { cause: error });
      }
    },
  };
}

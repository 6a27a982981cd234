/** Configuration: read keys, subscribe to changes (to the app channel or to a stream), end subscriptions. */

import type { AppChannel } from '../../contracts/app-channel.ts';
import type { ConfigurationBlock } from '../../contracts/blocks.ts';
import type { ComponentSource, LoadedComponent } from '../../contracts/component-source.ts';
import type { ConfigurationItems } from '../../contracts/configuration-store.ts';
import { errorText, runtimeError } from '../../contracts/error.ts';
import type { Ids } from '../../contracts/ids.ts';
import type { Logger } from '../../contracts/logger.ts';
import { type ComponentCallDeps, callComponent } from '../component-call.ts';

export interface ConfigurationBlockDeps extends ComponentCallDeps {
  readonly components: ComponentSource;
  readonly appChannel: () => AppChannel | undefined;
  readonly ids: Ids;
  readonly log: Logger;
}

/** Live subscriptions of one sidecar; more are refused so that a client in a loop cannot fill the memory. */
const MAX_SUBSCRIPTIONS = 10_000;
/** Changes of one subscription that wait for the app. */
const MAX_WAITING_CHANGES = 1000;

export interface ConfigurationBlockWithClose extends ConfigurationBlock {
  close(): Promise<void>;
}

export function createConfigurationBlock(deps: ConfigurationBlockDeps): ConfigurationBlockWithClose {
  const subscriptions = new Map<string, { close(): Promise<void> }>();

  const find = (store: string): LoadedComponent<'configuration'> => {
    if (deps.components.list('configuration').length === 0)
      throw runtimeError('configurationStoresNotConfigured');
    const component = deps.components.get('configuration', store);
    if (component === undefined) throw runtimeError('configurationStoreNotFound', { store });
    return component;
  };

  /** One request per changed key, each with all items of the change (HTTP reference, section 13). */
  const tellApp = async (store: string, id: string, items: ConfigurationItems): Promise<void> => {
    const channel = deps.appChannel();
    if (channel === undefined) return;
    const signal = AbortSignal.timeout(30_000);
    for (const key of Object.keys(items)) {
      await channel.deliverConfiguration(store, key, id, items, signal).catch((error: Error) => {
        deps.log.error(`configuration update of key ${key} in store ${store} was not taken by the app`, {
          error,
        });
      });
    }
  };

  /** Changes reach the app one after the other, as they happened; what it falls too far behind with is dropped. */
  const inOrder = (store: string, id: string): ((items: ConfigurationItems) => void) => {
    let waiting = 0;
    let last: Promise<void> = Promise.resolve();
    return (items) => {
      if (waiting >= MAX_WAITING_CHANGES) {
        deps.log.error(`the app is too slow for configuration store ${store}: a change was dropped`);
        return;
      }
      waiting += 1;
      last = last.then(async () => {
        await tellApp(store, id, items);
        waiting -= 1;
      });
    };
  };

  return {
    get: async (store, keys, metadata, call) => {
      const component = find(store);
      try {
        return await callComponent(deps, 'Configuration', store, 'get', call, (signal) =>
          component.instance.get(keys, metadata, signal),
        );
      } catch (error) {
        throw runtimeError(
          'configurationGet',
          { store, keys: keys.join(' '), error: errorText(error) },
          { cause: error },
        );
      }
    },
    subscribe: async (store, keys, metadata, call, changed) => {
      const component = find(store);
      if (changed === undefined && deps.appChannel() === undefined) throw runtimeError('appChannelMissing');
      if (subscriptions.size >= MAX_SUBSCRIPTIONS)
        throw runtimeError('overloaded', { what: 'the table of configuration subscriptions' });
      const id = deps.ids.uuid();
      try {
        const subscription = await callComponent(deps, 'Configuration', store, 'subscribe', call, () =>
          component.instance.subscribe(keys, metadata, changed ?? inOrder(store, id)),
        );
        subscriptions.set(id, subscription);
        return id;
      } catch (error) {
        throw runtimeError(
          'configurationSubscribe',
          { store, keys: keys.join(' '), error: errorText(error) },
          { cause: error },
        );
      }
    },
    unsubscribe: async (store, id) => {
      find(store);
      const subscription = subscriptions.get(id);
      if (subscription === undefined) return `subscription with id ${id} does not exist`;
      subscriptions.delete(id);
      return await subscription.close().then(() => undefined, errorText);
    },
    close: async () => {
      const open = [...subscriptions.values()];
      subscriptions.clear();
      await Promise.all(open.map((subscription) => subscription.close()));
    },
  };
}

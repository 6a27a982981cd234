/** The `configuration.in-memory` store: items from the component's own metadata, for development and tests. */

import type {
  ConfigurationItem,
  ConfigurationItems,
  ConfigurationStore,
} from '../../../runtime/contracts/configuration-store.ts';

interface Subscription {
  readonly keys: readonly string[];
  readonly changed: (items: ConfigurationItems) => void;
}

export class ConfigurationInMemory implements ConfigurationStore {
  readonly #items: Map<string, ConfigurationItem>;
  readonly #subscriptions = new Set<Subscription>();

  constructor(items: Readonly<Record<string, ConfigurationItem>>) {
    this.#items = new Map(Object.entries(items));
  }

  async init(): Promise<void> {}

  async close(): Promise<void> {
    this.#subscriptions.clear();
  }

  async get(keys: readonly string[]): Promise<ConfigurationItems> {
    const wanted = keys.length === 0 ? [...this.#items.keys()] : keys;
    const found: Record<string, ConfigurationItem> = {};
    for (const key of wanted) {
      const item = this.#items.get(key);
      if (item !== undefined) found[key] = item;
    }
    return found;
  }

  async subscribe(
    keys: readonly string[],
    _metadata: Readonly<Record<string, string>>,
    changed: (items: ConfigurationItems) => void,
  ): Promise<{ close(): Promise<void> }> {
    const subscription = { keys, changed };
    this.#subscriptions.add(subscription);
    return { close: async () => void this.#subscriptions.delete(subscription) };
  }

  /** Changes or (without `item`) removes a key and tells the subscribers; a removed key has an empty value. */
  put(key: string, item?: ConfigurationItem): void {
    if (item === undefined) this.#items.delete(key);
    else this.#items.set(key, item);
    const items = { [key]: item ?? { value: '', version: '', metadata: {} } };
    for (const { keys, changed } of this.#subscriptions) {
      if (keys.length === 0 || keys.includes(key)) changed(items);
    }
  }
}

/** A configuration store component. */

import type { ComponentInstance } from './component.ts';

export interface ConfigurationItem {
  readonly value: string;
  readonly version: string;
  readonly metadata: Readonly<Record<string, string>>;
}

export type ConfigurationItems = Readonly<Record<string, ConfigurationItem>>;

export interface ConfigurationStore extends ComponentInstance {
  /** No keys: all keys. */
  get(
    keys: readonly string[],
    metadata: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): Promise<ConfigurationItems>;
  /** Calls `changed` per change; a removed key arrives as an item with an empty value. */
  subscribe(
    keys: readonly string[],
    metadata: Readonly<Record<string, string>>,
    changed: (items: ConfigurationItems) => void,
  ): Promise<{ close(): Promise<void> }>;
}

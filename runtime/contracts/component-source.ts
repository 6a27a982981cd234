/** The live components of one sidecar, as building blocks look them up. Filled by `runtime/components`. */

import type { Category, CategoryInstances } from './component.ts';

export interface LoadedComponent<C extends Category = Category> {
  readonly name: string;
  readonly category: C;
  /** As written in the resource, e.g. `state.sqlite`. */
  readonly type: string;
  readonly version: string;
  /** Metadata items after secret references and templates, names as written. */
  readonly metadata: Readonly<Record<string, string>>;
  readonly capabilities: readonly string[];
  /** Items that came from a secret: item name as written to the name of the secret (encryption keys are named by it). */
  readonly secretNames?: Readonly<Record<string, string>>;
  /** True when a metadata value contains `{namespace}` before templates: topic names then get the namespace as prefix. */
  readonly namespaceScoped?: boolean;
  readonly instance: CategoryInstances[C];
}

export interface ComponentSource {
  get<C extends Category>(category: C, name: string): LoadedComponent<C> | undefined;
  list<C extends Category>(category: C): readonly LoadedComponent<C>[];
  /** Calls `changed` after a component entered or left (hot reload); the result stops that. */
  onChange(
    changed: (event: { readonly kind: 'added' | 'removed'; readonly component: LoadedComponent }) => void,
  ): () => void;
}

/** Value of a metadata item by case-insensitive name. */
export function metadataItem(component: Pick<LoadedComponent, 'metadata'>, name: string): string | undefined {
  const wanted = name.toLowerCase();
  for (const [key, value] of Object.entries(component.metadata))
    if (key.toLowerCase() === wanted) return value;
  return undefined;
}

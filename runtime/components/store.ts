/** The live components of one sidecar (see `contracts/component-source.ts`). */

import type { Category } from '../contracts/component.ts';
import type { ComponentSource, LoadedComponent } from '../contracts/component-source.ts';

export interface ComponentStore extends ComponentSource {
  add(component: LoadedComponent): void;
  remove(name: string): LoadedComponent | undefined;
  /** All of them, in the order in which they came. */
  all(): readonly LoadedComponent[];
}

export function createComponentStore(): ComponentStore {
  const byCategory = new Map<Category, Map<string, LoadedComponent>>();
  const listeners = new Set<Parameters<ComponentSource['onChange']>[0]>();
  const of = (category: Category): Map<string, LoadedComponent> => {
    let found = byCategory.get(category);
    if (found === undefined) {
      found = new Map();
      byCategory.set(category, found);
    }
    return found;
  };
  const loaded = new Set<LoadedComponent>();
  const all = (): readonly LoadedComponent[] => [...loaded];
  return {
    get: (category, name) => of(category).get(name) as never,
    list: (category) => [...of(category).values()] as never,
    all,
    add: (component) => {
      const before = of(component.category).get(component.name);
      if (before !== undefined) loaded.delete(before);
      of(component.category).set(component.name, component);
      loaded.add(component);
      for (const listener of listeners) listener({ kind: 'added', component });
    },
    remove: (name) => {
      const component = all().find((candidate) => candidate.name === name);
      if (component === undefined) return undefined;
      of(component.category).delete(name);
      loaded.delete(component);
      for (const listener of listeners) listener({ kind: 'removed', component });
      return component;
    },
    onChange: (changed) => {
      listeners.add(changed);
      return () => void listeners.delete(changed);
    },
  };
}

/** Looks component types up in the catalog. */

import type { AnyComponentDefinition, Catalog, Category } from '../contracts/component.ts';

const CATEGORIES: readonly string[] = [
  'bindings',
  'configuration',
  'conversation',
  'crypto',
  'lock',
  'middleware',
  'pubsub',
  'secretstores',
  'state',
  'nameresolution',
] satisfies readonly Category[];

/** The first part of a component type is no category. */
export class IncorrectTypeError extends Error {
  override readonly name = 'IncorrectTypeError';
}

export interface Registry {
  /** Loads the definition of `type` and `version`; rejects with a message that names what exists instead. */
  find(type: string, version: string, signal?: AbortSignal): Promise<AnyComponentDefinition>;
}

/** `v1` for empty, `v0` and `v1`, otherwise as given (Dapr's notion of an unversioned component). */
export function normaliseVersion(version: string): string {
  const lower = version.toLowerCase();
  return lower === '' || lower === 'v0' ? 'v1' : lower;
}

/** Definitions beside the catalog; `type` is lower case, of version v1. They win over built-in ones of the same type. */
export interface MoreDefinitions {
  find(type: string, signal?: AbortSignal): Promise<AnyComponentDefinition | undefined>;
}

export function createRegistry(catalog: Catalog, more?: MoreDefinitions): Registry {
  return {
    find: async (type, version, signal) => {
      const lower = type.toLowerCase();
      const category = lower.split('.', 1)[0] ?? '';
      if (!CATEGORIES.includes(category)) {
        throw new IncorrectTypeError(
          `incorrect type ${type}: expected <category>.<name> with a category out of ${CATEGORIES.join(', ')}`,
        );
      }
      const normalised = normaliseVersion(version);
      const found = normalised === 'v1' ? await more?.find(lower, signal) : undefined;
      if (found !== undefined) return found;
      const load = catalog[`${lower}/${normalised}`];
      if (load === undefined) {
        const known = Object.keys(catalog)
          .filter((key) => key.startsWith(`${category}.`))
          .map((key) => key.replace(/\/v1$/, ''));
        throw new Error(`couldn't find ${noun(category)} ${type}/${normalised} (known: ${known.join(', ')})`);
      }
      return (await load()).definition;
    },
  };
}

function noun(category: string): string {
  const nouns: Readonly<Record<string, string>> = {
    state: 'state store',
    pubsub: 'message bus',
    bindings: 'binding',
    secretstores: 'secret store',
    configuration: 'configuration store',
    lock: 'lock store',
    crypto: 'crypto provider',
    middleware: 'HTTP middleware',
    nameresolution: 'name resolver',
    conversation: 'conversation component',
  };
  return nouns[category] ?? category;
}

/**
 * A JSON file of secrets, read once at init (components reference, section 4.1). The file name is relative to the
 * working directory. Values that are not texts read as Go prints them, since users have scripts that expect that.
 */

import { readFile } from 'node:fs/promises';
import type { SecretStore } from '../../../runtime/contracts/secret-store.ts';

export interface FileSecretStoreOptions {
  readonly secretsFile: string;
  readonly nestedSeparator: string;
  readonly multiValued: boolean;
}

type Secret = Readonly<Record<string, string>>;

/** Go's `%s` of a JSON scalar that is not a text. */
function scalarText(value: unknown): string {
  if (typeof value === 'string') return value;
  if (value === null) return '%!s(<nil>)';
  return typeof value === 'boolean' ? `%!s(bool=${value})` : `%!s(float64=${value})`;
}

/** Leaves of a JSON tree by joined path; arrays by index. */
function flatten(value: unknown, path: string, separator: string, into: Map<string, string>): void {
  if (typeof value === 'object' && value !== null) {
    for (const [key, child] of Object.entries(value))
      flatten(child, path === '' ? key : `${path}${separator}${key}`, separator, into);
  } else {
    into.set(path, scalarText(value));
  }
}

function readTree(text: string, file: string): Readonly<Record<string, unknown>> {
  let tree: unknown;
  try {
    tree = JSON.parse(text);
  } catch (error) {
    throw new Error(
      `metadata item 'secretsFile': ${file} is not valid JSON: ${error instanceof Error ? error.message : error}`,
    );
  }
  if (typeof tree !== 'object' || tree === null || Array.isArray(tree)) {
    throw new Error(`metadata item 'secretsFile': ${file}: expected a JSON object of secrets`);
  }
  return tree as Readonly<Record<string, unknown>>;
}

export function createFileSecretStore(options: FileSecretStoreOptions): SecretStore {
  const secrets = new Map<string, Secret>();
  const load = (tree: Readonly<Record<string, unknown>>): void => {
    if (!options.multiValued) {
      const leaves = new Map<string, string>();
      flatten(tree, '', options.nestedSeparator, leaves);
      for (const [name, value] of leaves) secrets.set(name, { [name]: value });
      return;
    }
    for (const [name, value] of Object.entries(tree)) {
      if (typeof value === 'string') secrets.set(name, { [name]: value });
      else if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
        const leaves = new Map<string, string>();
        flatten(value, '', options.nestedSeparator, leaves);
        secrets.set(name, Object.fromEntries(leaves));
      }
    }
  };
  return {
    features: options.multiValued ? ['MULTIPLE_KEY_VALUES_PER_SECRET'] : [],
    init: async () => {
      const text = await readFile(options.secretsFile, 'utf8').catch((error: Error) => {
        throw new Error(`metadata item 'secretsFile': ${error.message}`);
      });
      load(readTree(text, options.secretsFile));
    },
    close: async () => secrets.clear(),
    get: async (name) => {
      const secret = secrets.get(name);
      if (secret === undefined) throw new Error(`secret ${name} not found`);
      return secret;
    },
    bulkGet: async () => Object.fromEntries(secrets),
  };
}

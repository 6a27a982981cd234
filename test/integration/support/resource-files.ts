/** Resource files of a test: written as JSON, which is YAML too. */

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export type Item = string | { readonly secretKeyRef: { readonly name: string; readonly key: string } };

export interface ComponentOptions {
  readonly scopes?: readonly string[];
  readonly secretStore?: string;
  readonly ignoreErrors?: boolean;
}

/** A Component resource. */
export function component(
  name: string,
  type: string,
  items: Readonly<Record<string, Item>> = {},
  options: ComponentOptions = {},
): string {
  return JSON.stringify({
    apiVersion: 'dapr.io/v1alpha1',
    kind: 'Component',
    metadata: { name },
    ...(options.scopes === undefined ? {} : { scopes: options.scopes }),
    ...(options.secretStore === undefined ? {} : { auth: { secretStore: options.secretStore } }),
    spec: {
      type,
      version: 'v1',
      ...(options.ignoreErrors === undefined ? {} : { ignoreErrors: options.ignoreErrors }),
      metadata: Object.entries(items).map(([item, value]) =>
        typeof value === 'string' ? { name: item, value } : { name: item, ...value },
      ),
    },
  });
}

/** A Subscription resource (v2alpha1) with one default route. */
export function subscription(
  name: string,
  pubsubname: string,
  topic: string,
  route: string,
  metadata: Readonly<Record<string, string>> = {},
): string {
  return JSON.stringify({
    apiVersion: 'dapr.io/v2alpha1',
    kind: 'Subscription',
    metadata: { name },
    spec: { pubsubname, topic, routes: { default: route }, metadata },
  });
}

/** A Configuration. */
export function configuration(spec: object): string {
  return JSON.stringify({
    apiVersion: 'dapr.io/v1alpha1',
    kind: 'Configuration',
    metadata: { name: 'config' },
    spec,
  });
}

/** Writes `files` (name to text) into a new folder of this name and returns its path. */
export function writeFiles(directory: string, name: string, files: Readonly<Record<string, string>>): string {
  const folder = join(directory, name);
  mkdirSync(folder, { recursive: true });
  for (const [file, text] of Object.entries(files)) writeFileSync(join(folder, file), text);
  return folder;
}

/** Writes one document per file, named by its position. */
export function writeResources(directory: string, documents: readonly string[], name = 'resources'): string {
  return writeFiles(
    directory,
    name,
    Object.fromEntries(documents.map((text, index) => [`${index}.yaml`, text])),
  );
}

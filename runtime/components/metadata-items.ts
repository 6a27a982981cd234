/**
 * From the metadata entries of a resource to the text items a component gets: literal value, else environment
 * reference, else secret (CLI reference, section 5); then templates.
 */

import type { Ids } from '../contracts/ids.ts';
import type { Logger } from '../contracts/logger.ts';
import type { MetadataEntry } from '../contracts/resource.ts';

export interface ItemSources {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly ids: Ids;
  readonly appId: string;
  readonly namespace: string;
  readonly log: Logger;
  /** Secret values by secret name; rejects when the store cannot give it. */
  readonly secret?: (name: string) => Promise<Readonly<Record<string, string>> | undefined>;
}

/** Whether `envRef` may read this variable. */
export function envRefAllowed(name: string, env: Readonly<Record<string, string | undefined>>): boolean {
  const upper = name.toUpperCase();
  if (name.includes(' ') || upper === 'APP_API_TOKEN' || upper.startsWith('DAPR_')) return false;
  const allowed = env['DAPR_ENV_KEYS'];
  return allowed === undefined || allowed.split(' ').includes(name);
}

function expandTemplates(value: string, sources: ItemSources): string {
  if (!value.includes('{')) return value;
  const namespaced = sources.namespace === '' ? sources.appId : `${sources.namespace}.${sources.appId}`;
  return value
    .replace(/\{uuid\}/g, () => sources.ids.uuid())
    .replaceAll('{appID}', sources.appId)
    .replaceAll('{namespace}', namespaced)
    .replace(/\{podName\}/g, () => {
      const pod = sources.env['POD_NAME'];
      if (pod === undefined || pod === '')
        throw new Error('failed to parse metadata: the template {podName} needs the variable POD_NAME');
      return pod;
    });
}

/** Resolves entries to text; an item whose secret cannot be had is left out with a log line. */
export async function resolveItems(
  entries: readonly MetadataEntry[],
  owner: string,
  sources: ItemSources,
): Promise<Readonly<Record<string, string>>> {
  const items: Record<string, string> = {};
  for (const entry of entries) {
    const value = await resolveEntry(entry, owner, sources);
    if (value !== undefined) items[entry.name] = expandTemplates(value, sources);
  }
  return items;
}

/** Text of one entry, before templates; `undefined` when its reference leads nowhere. */
export async function resolveEntry(
  entry: MetadataEntry,
  owner: string,
  sources: ItemSources,
): Promise<string | undefined> {
  if (entry.value !== undefined && entry.value !== '') return entry.value;
  if (entry.envRef !== undefined) {
    if (envRefAllowed(entry.envRef, sources.env)) return own(sources.env, entry.envRef);
    sources.log.warn(`item ${entry.name} of ${owner}: envRef must not read the variable ${entry.envRef}`);
    return entry.value;
  }
  if (entry.secretKeyRef === undefined) return entry.value;
  const found = await secretText(entry.name, entry.secretKeyRef, owner, sources);
  return found === '' ? entry.value : found;
}

/** Value of a member of its own, never one inherited such as `toString`. */
function own(map: Readonly<Record<string, string | undefined>>, name: string): string {
  return Object.hasOwn(map, name) ? (map[name] ?? '') : '';
}

/** Empty when the secret cannot be had; the log says why. */
async function secretText(
  item: string,
  { name, key }: { readonly name: string; readonly key: string },
  owner: string,
  sources: ItemSources,
): Promise<string> {
  if (sources.secret === undefined) {
    sources.log.error(`item ${item} of ${owner}: secretKeyRef needs auth.secretStore to name a secret store`);
    return '';
  }
  const secret = await sources.secret(name).catch((error: Error) => {
    sources.log.error(`item ${item} of ${owner}: secret ${name} cannot be read`, { error });
    return undefined;
  });
  return secret === undefined ? '' : own(secret, key);
}

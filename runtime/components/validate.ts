/** Checks a component resource without creating anything: its type exists and its metadata decodes. */

import { errorText } from '../contracts/error.ts';
import { decodeMetadata, type MetadataSchema } from '../contracts/metadata.ts';
import type { ComponentResource } from '../contracts/resource.ts';
import type { Registry } from './registry.ts';

/** What is wrong; items that come from a secret or the environment count as present. */
export async function validateComponent(
  resource: ComponentResource,
  registry: Registry,
): Promise<readonly string[]> {
  try {
    const definition = await registry.find(resource.type, resource.version);
    const items: Record<string, string> = {};
    const references = new Set<string>();
    for (const entry of resource.metadata) {
      const isReference = entry.secretKeyRef !== undefined || entry.envRef !== undefined;
      if (entry.value !== undefined && entry.value !== '') items[entry.name] = entry.value;
      else if (isReference) {
        items[entry.name] = 'reference';
        references.add(canonicalName(definition.metadata, entry.name));
      }
    }
    const decoded = decodeMetadata(definition.metadata, items);
    // What a reference will lead to is not known here: faults about its stand-in say nothing.
    if (!decoded.ok)
      return decoded.faults.filter(
        (fault) => !references.has(/^metadata item '([^']*)':/.exec(fault)?.[1] ?? ''),
      );
    return decoded.unknown.map(
      (item) => `metadata item '${item}' is not known (known: ${definition.metadata.names.join(', ')})`,
    );
  } catch (error) {
    return [errorText(error)];
  }
}

function canonicalName(schema: Pick<MetadataSchema<unknown>, 'names' | 'aliases'>, given: string): string {
  const lower = given.toLowerCase();
  const alias = Object.entries(schema.aliases).find(([name]) => name.toLowerCase() === lower);
  return schema.names.find((name) => name.toLowerCase() === lower) ?? alias?.[1] ?? given;
}

/** Checks a component resource without creating anything: its type exists and its metadata decodes. */

import { errorText } from '../contracts/error.ts';
import { decodeMetadata } from '../contracts/metadata.ts';
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
    for (const entry of resource.metadata) {
      const isReference = entry.secretKeyRef !== undefined || entry.envRef !== undefined;
      if (entry.value !== undefined && entry.value !== '') items[entry.name] = entry.value;
      else if (isReference) items[entry.name] = 'reference';
    }
    const decoded = decodeMetadata(definition.metadata, items);
    if (!decoded.ok) return decoded.faults;
    return decoded.unknown.map(
      (item) => `metadata item '${item}' is not known (known: ${definition.metadata.names.join(', ')})`,
    );
  } catch (error) {
    return [errorText(error)];
  }
}

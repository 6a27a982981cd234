/** Configuration of `nameresolution.kubernetes`, as Dapr's component of that name has it. */

import { z } from 'zod';
import { metadataSchema } from '../../../runtime/contracts/metadata.ts';

/** What a template may ask for, in the notation of Go's templates. */
const PLACE = /\{\{\s*\.(ID|Namespace|Port)\s*\}\}/g;

export const nameKubernetesMetadata = metadataSchema({
  clusterDomain: z
    .string()
    .default('')
    .transform((domain) => (domain === '' ? 'cluster.local' : domain)),
  template: z
    .string()
    .default('')
    .refine((text) => !/[{}]/.test(text.replace(PLACE, '')), {
      error: 'expected a text with no other actions than {{.ID}}, {{.Namespace}} and {{.Port}}',
    }),
});

export interface NameKubernetesMetadata {
  readonly clusterDomain: string;
  /** `''`: the Services that Dapr's operator makes. */
  readonly template: string;
}

/** The template with its places filled. */
export function fillTemplate(template: string, values: Readonly<Record<string, string>>): string {
  return template.replace(PLACE, (_place, name: string) => values[name] ?? '');
}

/** Metadata items of `configuration.in-memory`. */

import { z } from 'zod';
import type { ConfigurationItem } from '../../../runtime/contracts/configuration-store.ts';
import { metadataSchema } from '../../../runtime/contracts/metadata.ts';

const item = z.union([
  z.string().transform((value): ConfigurationItem => ({ value, version: '', metadata: {} })),
  z.object({
    value: z.string(),
    version: z.string().default(''),
    metadata: z.record(z.string(), z.string()).default({}),
  }),
]);
const itemsByKey = z.record(z.string(), item);

const EXPECTED = 'expected a JSON object of texts or of { "value", "version", "metadata" }';

export const configurationInMemoryMetadata = metadataSchema({
  items: z
    .string()
    .default('{}')
    .transform((text, context): Readonly<Record<string, ConfigurationItem>> => {
      try {
        return itemsByKey.parse(JSON.parse(text));
      } catch {
        context.addIssue({ code: 'custom', message: EXPECTED });
        return z.NEVER;
      }
    }),
});

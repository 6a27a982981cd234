/** Metadata items of `bindings.dapr`. */

import { z } from 'zod';
import { duration, metadataSchema, splitCommaList, text } from '../../../runtime/contracts/metadata.ts';
import { connectionItems } from '../../drivers/dapr-api/connection-items.ts';
import { queueItems } from '../../drivers/dapr-api/queue-items.ts';

export const daprBindingMetadata = metadataSchema(
  {
    ...connectionItems,
    ...queueItems,
    path: text(''),
    operations: z
      .string()
      .optional()
      .transform((value) => splitCommaList(value === undefined || value === '' ? 'create' : value)),
    keyFrom: text(''),
    timeout: duration(30_000),
  },
  { aliases: { url: 'baseUrl' } },
);

export type DaprBindingMetadata = z.output<typeof daprBindingMetadata.schema>;

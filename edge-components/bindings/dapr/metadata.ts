/** Metadata items of `bindings.dapr`. */

import { z } from 'zod';
import { duration, metadataSchema, splitCommaList, text } from '../../../runtime/contracts/metadata.ts';
import { connectionItems } from '../../drivers/dapr-api/connection-items.ts';
import { queueItems } from '../../drivers/dapr-api/queue-items.ts';

/** Far APIs that a message can be delivered to. */
const TARGET = /^\/?(?:publish\/[^/]+\/.+|bindings\/[^/]+|invoke\/[^/]+\/method\/.+)$/;

export const daprBindingMetadata = metadataSchema(
  {
    ...connectionItems,
    ...queueItems,
    path: text('').refine((path) => path === '' || TARGET.test(path), {
      error: ({ input }) =>
        `expected publish/<pubsub>/<topic>, bindings/<name> or invoke/<app>/method/<name>, got '${input}'`,
    }),
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

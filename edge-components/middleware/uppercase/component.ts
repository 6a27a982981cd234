/** `middleware.http.uppercase/v1`: upper-cases bodies, to see a pipeline at work. */

import { z } from 'zod';
import { defineComponent } from '../../../runtime/contracts/component.ts';
import { metadataSchema } from '../../../runtime/contracts/metadata.ts';
import { createUppercase, type Direction } from './uppercase.ts';

export const definition = defineComponent({
  category: 'middleware',
  type: 'middleware.http.uppercase',
  metadata: metadataSchema({
    // Anything else means `request`, as in Dapr.
    direction: z
      .string()
      .optional()
      .transform((value): Direction => {
        const lower = value?.toLowerCase();
        return lower === 'response' || lower === 'both' ? lower : 'request';
      }),
  }),
  capabilities: [],
  create: ({ direction }) => createUppercase(direction),
});

/** `middleware.http.ratelimit/v1`: a bound on the requests per second of each remote address. */

import { z } from 'zod';
import { defineComponent } from '../../../runtime/contracts/component.ts';
import { metadataSchema } from '../../../runtime/contracts/metadata.ts';
import { createRateLimit } from './rate-limit.ts';

const DEFAULT_PER_SECOND = 100;

export const definition = defineComponent({
  category: 'middleware',
  type: 'middleware.http.ratelimit',
  metadata: metadataSchema({
    maxRequestsPerSecond: z
      .string()
      .optional()
      .transform((value, context) => {
        if (value === undefined || value === '') return DEFAULT_PER_SECOND;
        const parsed = /^\d*\.?\d+$/.test(value.trim()) ? Number(value) : 0;
        if (!(parsed > 0))
          context.addIssue({ code: 'custom', message: `expected a number above 0, got '${value}'` });
        return parsed;
      }),
  }),
  capabilities: [],
  create: ({ maxRequestsPerSecond }, deps) => createRateLimit(maxRequestsPerSecond, deps.clock),
});

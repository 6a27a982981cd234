/** Metadata items of `bindings.dapr`. */

import { z } from 'zod';
import {
  duration,
  integer,
  metadataSchema,
  optionalText,
  quantity,
  splitCommaList,
  text,
} from '../../../runtime/contracts/metadata.ts';

const url = z
  .string({ error: 'is required' })
  .refine(
    (value) => URL.canParse(value) && /^https?:/i.test(value),
    'expected an http or https URL such as http://cloud:3500',
  );

export const daprBindingMetadata = metadataSchema(
  {
    baseUrl: url,
    path: text(''),
    operations: z
      .string()
      .optional()
      .transform((value) => splitCommaList(value === undefined || value === '' ? 'create' : value)),
    apiToken: optionalText(),
    keyFrom: text(''),
    queueMaxMessages: integer(100_000, 1),
    queueMaxBytes: quantity(256 * 1024 * 1024),
    queueWhenFull: z
      .enum(['block', 'reject', 'drop-oldest', 'drop-newest'], {
        error: 'expected block, reject, drop-oldest or drop-newest',
      })
      .default('reject'),
    queueTTL: duration(0),
    timeout: duration(30_000),
    caCert: optionalText(),
    clientCert: optionalText(),
    clientKey: optionalText(),
  },
  { aliases: { url: 'baseUrl' } },
);

export type DaprBindingMetadata = z.output<typeof daprBindingMetadata.schema>;

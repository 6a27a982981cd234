/** Metadata items of `middleware.http.bearer`. */

import { z } from 'zod';
import { metadataSchema, requiredText } from '../../../runtime/contracts/metadata.ts';

const httpUrl = (value: string): boolean => URL.canParse(value) && /^https?:/i.test(value);

export const bearerMetadata = metadataSchema(
  {
    issuer: requiredText(),
    audience: requiredText(),
    jwksURL: z
      .string()
      .default('')
      .refine((value) => value === '' || httpUrl(value), 'expected an http or https URL'),
  },
  { aliases: { issuerURL: 'issuer', clientID: 'audience' } },
);

export type BearerMetadata = z.output<typeof bearerMetadata.schema>;

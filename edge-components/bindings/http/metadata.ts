/** Metadata items of `bindings.http`. */

import { z } from 'zod';
import {
  duration,
  flag,
  metadataSchema,
  optionalText,
  quantity,
} from '../../../runtime/contracts/metadata.ts';

const DEFAULT_MAX_RESPONSE_BYTES = 100 * 1024 * 1024;

export const httpBindingMetadata = metadataSchema({
  url: z
    .string({ error: 'is required' })
    .refine(
      (value) => URL.canParse(value) && /^https?:/i.test(value),
      'expected an http or https URL such as http://host:8080/path',
    ),
  MTLSRootCA: optionalText(),
  MTLSClientCert: optionalText(),
  MTLSClientKey: optionalText(),
  MTLSRenegotiation: z
    .enum(['RenegotiateNever', 'RenegotiateOnceAsClient', 'RenegotiateFreelyAsClient'], {
      error: 'expected RenegotiateNever, RenegotiateOnceAsClient or RenegotiateFreelyAsClient',
    })
    .default('RenegotiateNever'),
  securityToken: optionalText(),
  securityTokenHeader: optionalText(),
  responseTimeout: duration(0),
  maxResponseBodySize: quantity(DEFAULT_MAX_RESPONSE_BYTES),
  errorIfNot2XX: flag(true),
});

export type HttpBindingMetadata = z.output<typeof httpBindingMetadata.schema>;

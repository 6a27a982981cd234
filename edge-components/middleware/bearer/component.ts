/** `middleware.http.bearer/v1`: requests need a valid JSON Web Token. */

import { defineComponent } from '../../../runtime/contracts/component.ts';
import { createBearer } from './bearer.ts';
import { bearerMetadata } from './metadata.ts';

export const definition = defineComponent({
  category: 'middleware',
  type: 'middleware.http.bearer',
  metadata: bearerMetadata,
  capabilities: [],
  create: createBearer,
});

/** `bindings.http/v1`: an output binding that calls an HTTP endpoint. */

import { defineComponent } from '../../../runtime/contracts/component.ts';
import { createHttpBinding } from './http-binding.ts';
import { httpBindingMetadata } from './metadata.ts';

export const definition = defineComponent({
  category: 'bindings',
  type: 'bindings.http',
  metadata: httpBindingMetadata,
  capabilities: ['OUTPUT_BINDING'],
  create: createHttpBinding,
});

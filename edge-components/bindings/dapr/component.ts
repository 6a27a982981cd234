/** `bindings.dapr/v1`: store-and-forward to another Dapr sidecar. */

import { defineComponent } from '../../../runtime/contracts/component.ts';
import { createDaprBinding } from './dapr-binding.ts';
import { daprBindingMetadata } from './metadata.ts';

export const definition = defineComponent({
  category: 'bindings',
  type: 'bindings.dapr',
  metadata: daprBindingMetadata,
  capabilities: ['OUTPUT_BINDING'],
  create: createDaprBinding,
});

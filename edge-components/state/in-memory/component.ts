/** `state.in-memory`: the definition that the catalog loads. */

import { defineComponent } from '../../../runtime/contracts/component.ts';
import { stateInMemoryMetadata } from './metadata.ts';
import { STATE_IN_MEMORY_FEATURES, StateInMemory } from './state-in-memory.ts';

export const definition = defineComponent({
  category: 'state',
  type: 'state.in-memory',
  metadata: stateInMemoryMetadata,
  capabilities: STATE_IN_MEMORY_FEATURES,
  create: (_metadata, deps) => new StateInMemory(deps),
});

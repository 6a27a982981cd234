/** `lock.in-memory`: the definition that the catalog loads. Not a Dapr type. */

import { defineComponent } from '../../../runtime/contracts/component.ts';
import { LockInMemory } from './lock-in-memory.ts';
import { lockInMemoryMetadata } from './metadata.ts';

export const definition = defineComponent({
  category: 'lock',
  type: 'lock.in-memory',
  metadata: lockInMemoryMetadata,
  capabilities: [],
  create: (_metadata, deps) => new LockInMemory(deps.clock),
});

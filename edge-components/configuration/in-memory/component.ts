/** `configuration.in-memory`: the definition that the catalog loads. Not a Dapr type. */

import { defineComponent } from '../../../runtime/contracts/component.ts';
import { ConfigurationInMemory } from './configuration-in-memory.ts';
import { configurationInMemoryMetadata } from './metadata.ts';

export const definition = defineComponent({
  category: 'configuration',
  type: 'configuration.in-memory',
  metadata: configurationInMemoryMetadata,
  capabilities: [],
  create: (metadata) => new ConfigurationInMemory(metadata.items),
});

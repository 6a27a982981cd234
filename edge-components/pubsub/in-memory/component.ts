/** `pubsub.in-memory`: topics within one sidecar, gone with the process. */

import { defineComponent } from '../../../runtime/contracts/component.ts';
import { inMemoryPubSub } from './in-memory.ts';
import { metadata } from './metadata.ts';

export const definition = defineComponent({
  category: 'pubsub',
  type: 'pubsub.in-memory',
  metadata,
  capabilities: ['SUBSCRIBE_WILDCARDS'],
  create: (_metadata, deps) => inMemoryPubSub(deps),
});

/** `pubsub.mqtt3`: topics of any MQTT 3.1.1 broker, the node's own included. */

import { defineComponent } from '../../../runtime/contracts/component.ts';
import { metadata } from './metadata.ts';
import { mqtt3PubSub } from './mqtt3.ts';

export const definition = defineComponent({
  category: 'pubsub',
  type: 'pubsub.mqtt3',
  metadata,
  capabilities: ['SUBSCRIBE_WILDCARDS'],
  create: mqtt3PubSub,
});

/** `bindings.mqtt3`: one MQTT topic as input, any topic as output. */

import { defineComponent } from '../../../runtime/contracts/component.ts';
import { metadata } from './metadata.ts';
import { mqtt3Binding } from './mqtt3.ts';

export const definition = defineComponent({
  category: 'bindings',
  type: 'bindings.mqtt3',
  metadata,
  capabilities: [],
  create: mqtt3Binding,
});

/** `bindings.cron/v1`: an input binding that fires by schedule. */

import { defineComponent } from '../../../runtime/contracts/component.ts';
import { metadataSchema, requiredText } from '../../../runtime/contracts/metadata.ts';
import { createCronBinding } from './cron.ts';

export const definition = defineComponent({
  category: 'bindings',
  type: 'bindings.cron',
  metadata: metadataSchema({ schedule: requiredText() }),
  capabilities: ['INPUT_BINDING'],
  create: ({ schedule }, deps) => createCronBinding(schedule, deps),
});

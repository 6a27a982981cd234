/** `secretstores.dapr`: secrets of another sidecar, with an encrypted copy for a start without a link. Not a Dapr type. */

import { defineComponent } from '../../../runtime/contracts/component.ts';
import { flag, metadataSchema } from '../../../runtime/contracts/metadata.ts';
import { connectionItems } from '../../drivers/dapr-api/connection-items.ts';
import { createRemoteSecrets } from './remote-secrets.ts';

export const definition = defineComponent({
  category: 'secretstores',
  type: 'secretstores.dapr',
  metadata: metadataSchema({ ...connectionItems, keepCopy: flag(true) }, { aliases: { url: 'baseUrl' } }),
  capabilities: ['MULTIPLE_KEY_VALUES_PER_SECRET'],
  create: createRemoteSecrets,
});

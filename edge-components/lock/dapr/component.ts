/** `lock.dapr`: locks of another sidecar. Needs the link for every call. Not a Dapr type. */

import { defineComponent } from '../../../runtime/contracts/component.ts';
import { metadataSchema } from '../../../runtime/contracts/metadata.ts';
import { connectionItems } from '../../drivers/dapr-api/connection-items.ts';
import { createRemoteLock } from './remote-lock.ts';

export const definition = defineComponent({
  category: 'lock',
  type: 'lock.dapr',
  metadata: metadataSchema(connectionItems, { aliases: { url: 'baseUrl' } }),
  capabilities: [],
  create: createRemoteLock,
});

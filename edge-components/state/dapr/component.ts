/** `state.dapr`: state of another sidecar. Needs the link for every call. Not a Dapr type. */

import { defineComponent } from '../../../runtime/contracts/component.ts';
import { metadataSchema, text } from '../../../runtime/contracts/metadata.ts';
import { connectionItems } from '../../drivers/dapr-api/connection-items.ts';
import { createRemoteState, FEATURES } from './remote-state.ts';

export const definition = defineComponent({
  category: 'state',
  type: 'state.dapr',
  metadata: metadataSchema(
    { ...connectionItems, remoteKeyPrefix: text('') },
    { aliases: { url: 'baseUrl' } },
  ),
  capabilities: FEATURES,
  create: createRemoteState,
});

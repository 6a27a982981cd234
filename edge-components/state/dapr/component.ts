/** `state.dapr`: state of another sidecar; writes need the link, reads do unless copies are kept. Not a Dapr type. */

import { z } from 'zod';
import { defineComponent } from '../../../runtime/contracts/component.ts';
import { integer, metadataSchema, text } from '../../../runtime/contracts/metadata.ts';
import { connectionItems } from '../../drivers/dapr-api/connection-items.ts';
import { createCachedState } from './cached-state.ts';
import { createRemoteState, FEATURES } from './remote-state.ts';

export const definition = defineComponent({
  category: 'state',
  type: 'state.dapr',
  metadata: metadataSchema(
    {
      ...connectionItems,
      remoteKeyPrefix: text(''),
      mode: z.enum(['remote', 'cached'], { error: 'expected remote or cached' }).default('remote'),
      cacheMaxEntries: integer(10_000, 1),
    },
    { aliases: { url: 'baseUrl' } },
  ),
  capabilities: FEATURES,
  create: (metadata, deps) => {
    const remote = createRemoteState(metadata, deps);
    return metadata.mode === 'cached' ? createCachedState(remote, metadata.cacheMaxEntries, deps) : remote;
  },
});

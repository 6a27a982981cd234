/** `pubsub.dapr`: topics of another sidecar; publishing is queued on disk, events come down by a stream. Not a Dapr type. */

import { defineComponent } from '../../../runtime/contracts/component.ts';
import { duration, metadataSchema, text } from '../../../runtime/contracts/metadata.ts';
import { connectionItems } from '../../drivers/dapr-api/connection-items.ts';
import { queueItems } from '../../drivers/dapr-api/queue-items.ts';
import { createRemotePubSub } from './remote-pubsub.ts';

export const definition = defineComponent({
  category: 'pubsub',
  type: 'pubsub.dapr',
  metadata: metadataSchema(
    {
      ...connectionItems,
      ...queueItems,
      grpcAddress: text(''),
      silenceLimit: duration(55_000),
      keyFrom: text(''),
    },
    { aliases: { url: 'baseUrl' } },
  ),
  capabilities: [],
  create: createRemotePubSub,
});

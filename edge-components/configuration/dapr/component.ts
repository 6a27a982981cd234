/** `configuration.dapr`: items of another sidecar, with an encrypted copy for a start without a link. Not a Dapr type. */

import { defineComponent } from '../../../runtime/contracts/component.ts';
import { duration, flag, metadataSchema } from '../../../runtime/contracts/metadata.ts';
import { connectionItems } from '../../drivers/dapr-api/connection-items.ts';
import { createRemoteConfiguration } from './remote-configuration.ts';

export const definition = defineComponent({
  category: 'configuration',
  type: 'configuration.dapr',
  metadata: metadataSchema(
    { ...connectionItems, keepCopy: flag(true), pollInterval: duration(15_000) },
    { aliases: { url: 'baseUrl' } },
  ),
  capabilities: [],
  create: createRemoteConfiguration,
});

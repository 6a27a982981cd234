/** `conversation.echo/v1`: answers with what it was told, for tests. */

import { defineComponent } from '../../../runtime/contracts/component.ts';
import { metadataSchema } from '../../../runtime/contracts/metadata.ts';
import { createEcho } from './echo.ts';

export const definition = defineComponent({
  category: 'conversation',
  type: 'conversation.echo',
  metadata: metadataSchema({}),
  capabilities: [],
  create: createEcho,
});

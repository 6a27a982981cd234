/** `secretstores.local.file/v1`: secrets from a JSON file. */

import { defineComponent } from '../../../runtime/contracts/component.ts';
import { flag, metadataSchema, requiredText, text } from '../../../runtime/contracts/metadata.ts';
import { createFileSecretStore } from './local-file.ts';

export const definition = defineComponent({
  category: 'secretstores',
  type: 'secretstores.local.file',
  metadata: metadataSchema({
    secretsFile: requiredText(),
    nestedSeparator: text(':'),
    multiValued: flag(false),
  }),
  capabilities: [],
  create: (metadata) => createFileSecretStore(metadata),
});

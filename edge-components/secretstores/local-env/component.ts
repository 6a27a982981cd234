/** `secretstores.local.env/v1`: secrets from the environment of the process. */

import { defineComponent } from '../../../runtime/contracts/component.ts';
import { metadataSchema, text } from '../../../runtime/contracts/metadata.ts';
import { createEnvSecretStore } from './local-env.ts';

export const definition = defineComponent({
  category: 'secretstores',
  type: 'secretstores.local.env',
  metadata: metadataSchema({ prefix: text('') }),
  capabilities: [],
  create: ({ prefix }, deps) => createEnvSecretStore(prefix, deps.env),
});

/** `bindings.localstorage/v1`: an output binding that keeps files in one folder. */

import { defineComponent } from '../../../runtime/contracts/component.ts';
import { metadataSchema, requiredText } from '../../../runtime/contracts/metadata.ts';
import { createLocalStorageBinding } from './local-storage.ts';

export const definition = defineComponent({
  category: 'bindings',
  type: 'bindings.localstorage',
  metadata: metadataSchema({ rootPath: requiredText() }),
  capabilities: ['OUTPUT_BINDING'],
  create: ({ rootPath }, deps) => createLocalStorageBinding(rootPath, deps),
});

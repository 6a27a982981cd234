/** `crypto.dapr.localstorage/v1`: keys in files of one folder. */

import { defineComponent } from '../../../runtime/contracts/component.ts';
import { metadataSchema, requiredText } from '../../../runtime/contracts/metadata.ts';
import { createLocalStorageCrypto } from './local-storage-crypto.ts';

export const definition = defineComponent({
  category: 'crypto',
  type: 'crypto.dapr.localstorage',
  metadata: metadataSchema({ path: requiredText() }),
  capabilities: [],
  create: ({ path }) => createLocalStorageCrypto(path),
});

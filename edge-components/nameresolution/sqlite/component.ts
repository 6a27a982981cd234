/** `nameresolution.sqlite`: the definition that the catalog loads. */

import { defineComponent } from '../../../runtime/contracts/component.ts';
import { nameSqliteMetadata } from './metadata.ts';
import { createSqliteResolver } from './sqlite.ts';

export const definition = defineComponent({
  category: 'nameresolution',
  type: 'nameresolution.sqlite',
  metadata: nameSqliteMetadata,
  capabilities: [],
  create: (metadata, deps) => createSqliteResolver(metadata, deps),
});

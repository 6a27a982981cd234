/** `state.sqlite`: the definition that the catalog loads. */

import { defineComponent } from '../../../runtime/contracts/component.ts';
import { stateSqliteMetadata } from './metadata.ts';
import { STATE_SQLITE_FEATURES, StateSqlite } from './state-sqlite.ts';

export const definition = defineComponent({
  category: 'state',
  type: 'state.sqlite',
  metadata: stateSqliteMetadata,
  capabilities: STATE_SQLITE_FEATURES,
  create: (metadata, deps) => new StateSqlite(metadata, deps),
});

/** `lock.sqlite`: the definition that the catalog loads. Not a Dapr type. */

import { defineComponent } from '../../../runtime/contracts/component.ts';
import { LockSqlite } from './lock-sqlite.ts';
import { lockSqliteMetadata } from './metadata.ts';

export const definition = defineComponent({
  category: 'lock',
  type: 'lock.sqlite',
  metadata: lockSqliteMetadata,
  capabilities: [],
  create: (metadata, deps) => new LockSqlite(metadata, deps),
});

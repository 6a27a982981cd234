/** `configuration.sqlite`: the definition that the catalog loads. Not a Dapr type. */

import { defineComponent } from '../../../runtime/contracts/component.ts';
import { ConfigurationSqlite } from './configuration-sqlite.ts';
import { configurationSqliteMetadata } from './metadata.ts';

export const definition = defineComponent({
  category: 'configuration',
  type: 'configuration.sqlite',
  metadata: configurationSqliteMetadata,
  capabilities: [],
  create: (metadata, deps) => new ConfigurationSqlite(metadata, deps),
});

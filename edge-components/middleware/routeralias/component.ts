/** `middleware.http.routeralias/v1`: other paths for parts of the API. */

import { defineComponent } from '../../../runtime/contracts/component.ts';
import { metadataSchema, text } from '../../../runtime/contracts/metadata.ts';
import { createRouterAlias } from './router-alias.ts';

export const definition = defineComponent({
  category: 'middleware',
  type: 'middleware.http.routeralias',
  metadata: metadataSchema({ routes: text('') }),
  capabilities: [],
  create: ({ routes }) => createRouterAlias(routes),
});

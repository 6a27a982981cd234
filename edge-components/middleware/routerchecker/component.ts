/** `middleware.http.routerchecker/v1`: refuses paths that do not match a rule. */

import { defineComponent } from '../../../runtime/contracts/component.ts';
import { metadataSchema, text } from '../../../runtime/contracts/metadata.ts';
import { createRouterChecker } from './router-checker.ts';

export const definition = defineComponent({
  category: 'middleware',
  type: 'middleware.http.routerchecker',
  metadata: metadataSchema({ rule: text('') }),
  capabilities: [],
  create: ({ rule }) => createRouterChecker(rule),
});

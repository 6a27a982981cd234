/** API allow and deny lists of the Configuration, as they apply to HTTP routes (Dapr HTTP reference, section 3.4). */

import type { HttpRoute } from '../contracts/operations.ts';
import type { ApiAccessRule } from '../contracts/resource.ts';

export interface ApiAccess {
  readonly allowed: readonly ApiAccessRule[];
  readonly denied: readonly ApiAccessRule[];
}

/** Placeholders count as equal whatever they are called: `{storeName}` in a rule, `:store` in a route. */
const rulePath = (rule: ApiAccessRule): string => `${rule.version}/${rule.name}`.replace(/\{[^}]*\}/g, ':');
const routePath = (route: HttpRoute): string => route.path.slice(1).replace(/:[^/]*/g, ':');

function matches(route: HttpRoute, rules: readonly ApiAccessRule[]): boolean {
  const path = routePath(route);
  // Rules name a group (`state`, `v1`), or in the older style the beginning of a route (`state`, `v1.0`).
  return rules.some(
    (rule) => `${rule.name}/${rule.version}` === route.group || path.startsWith(rulePath(rule)),
  );
}

const forHttp = (rules: readonly ApiAccessRule[]): readonly ApiAccessRule[] =>
  rules.filter((rule) => rule.protocol.toLowerCase() === 'http');

/** Whether `route` is offered: deny first, then the allow list when there is one. Health cannot be turned off. */
export function isAllowed(route: HttpRoute, access: ApiAccess): boolean {
  if (route.group === '') return true;
  if (matches(route, forHttp(access.denied))) return false;
  const allowed = forHttp(access.allowed);
  return allowed.length === 0 || matches(route, allowed);
}

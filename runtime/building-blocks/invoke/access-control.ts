/**
 * `spec.accessControl` of the callee (HTTP reference 3.5, resources reference 8.1). A caller's identity would come from
 * its mTLS certificate; without one no policy entry can match and the global default action decides.
 */

import type { ConfigurationResource } from '../../contracts/resource.ts';

export type AccessControl = NonNullable<ConfigurationResource['accessControl']>;

/** Text of the refusal, or `undefined` when the call is allowed. `method` is escaped, without leading slash. */
export function accessDenied(
  control: AccessControl | undefined,
  method: string,
  verb: string,
): string | undefined {
  if (control === undefined) return undefined;
  const action = control.defaultAction.toLowerCase();
  const denied = action === 'deny' || (action === '' && control.policies.length > 0);
  if (!denied) return undefined;
  return `access control policy has denied access to id:  operation: ${method} verb: ${verb}`;
}

/** API allow and deny lists for gRPC methods (gRPC reference, section 1.2). */

import { OPERATIONS, type Operation } from '../contracts/operations.ts';
import type { ApiAccessRule } from '../contracts/resource.ts';
import { statusOfHttpFailure } from './status.ts';

const RUNTIME_PREFIX = '/dapr.proto.runtime.';

/** Refuses a method that the lists close; `undefined` when there are no gRPC rules. */
export type ApiAccessCheck = (path: string) => void;

/** The check for the given lists. A deny rule wins; with allow rules everything else is closed. */
export function createApiAccessCheck(lists: {
  readonly allowed: readonly ApiAccessRule[];
  readonly denied: readonly ApiAccessRule[];
}): ApiAccessCheck | undefined {
  const allowed = methodsOf(lists.allowed);
  const denied = methodsOf(lists.denied);
  if (allowed.size === 0 && denied.size === 0) return undefined;
  return (path) => {
    // Only Dapr's own methods are filtered: proxied ones belong to apps.
    if (!path.startsWith(RUNTIME_PREFIX)) return;
    if (denied.has(path) || (allowed.size > 0 && !allowed.has(path))) {
      throw statusOfHttpFailure(501, 'requested endpoint is not available');
    }
  };
}

function methodsOf(rules: readonly ApiAccessRule[]): ReadonlySet<string> {
  const groups = new Set(
    rules.filter(({ protocol }) => protocol === 'grpc').map(({ name, version }) => `${name}.${version}`),
  );
  const methods = (Object.values(OPERATIONS) as readonly Operation[]).flatMap(({ grpc }) => grpc);
  return new Set(
    methods
      .filter(({ group }) => groups.has(group))
      .map(({ method }) => `${RUNTIME_PREFIX}v1.Dapr/${method}`),
  );
}

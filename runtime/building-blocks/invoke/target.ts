/** Which target an app id names (HTTP reference, section 10.1). */

import type { ResolvedEndpoint } from './external-http.ts';

export type ResolvedTarget =
  | { readonly kind: 'url'; readonly id: string }
  | { readonly kind: 'endpoint'; readonly id: string; readonly endpoint: ResolvedEndpoint }
  | { readonly kind: 'app'; readonly id: string; readonly namespace: string };

/** Tells URL, endpoint and app apart; `app.ns` names another namespace. Throws with the text that clients see. */
export function resolveTarget(
  id: string,
  ownNamespace: string,
  endpoints: ReadonlyMap<string, ResolvedEndpoint>,
): ResolvedTarget {
  if (id.startsWith('http://') || id.startsWith('https://')) return { kind: 'url', id };
  if (id === '') throw new Error('app id is empty');
  const dot = id.indexOf('.');
  if (dot >= 0 && id.includes('.', dot + 1)) throw new Error(`invalid app id ${id}`);
  const name = dot < 0 ? id : id.slice(0, dot);
  const endpoint = endpoints.get(name);
  if (endpoint !== undefined) return { kind: 'endpoint', id: name, endpoint };
  return { kind: 'app', id: name, namespace: dot < 0 ? ownNamespace : id.slice(dot + 1) };
}

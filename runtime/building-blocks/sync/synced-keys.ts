/** Which keys a flow covers, and what they are called on the other side. */

import type { SyncedKey } from '../../contracts/resource.ts';

export interface KeyNames {
  /** `undefined` for a key that the flow does not cover. */
  toRemote(local: string): string | undefined;
  toLocal(remote: string): string | undefined;
}

export function keyNames(keys: readonly SyncedKey[], prefixes: readonly SyncedKey[]): KeyNames {
  const out = new Map(keys.map(({ local, remote }) => [local, remote]));
  const back = new Map(keys.map(({ local, remote }) => [remote, local]));
  // The longest prefix that fits is meant.
  const byLocal = [...prefixes].sort((a, b) => b.local.length - a.local.length);
  const byRemote = [...prefixes].sort((a, b) => b.remote.length - a.remote.length);
  return {
    toRemote: (key) => {
      const named = out.get(key);
      if (named !== undefined) return named;
      const found = byLocal.find(({ local }) => key.startsWith(local));
      return found === undefined ? undefined : found.remote + key.slice(found.local.length);
    },
    toLocal: (key) => {
      const named = back.get(key);
      if (named !== undefined) return named;
      const found = byRemote.find(({ remote }) => key.startsWith(remote));
      return found === undefined ? undefined : found.local + key.slice(found.remote.length);
    },
  };
}

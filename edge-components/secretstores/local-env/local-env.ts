/** Environment variables as secrets; the runtime's own variables are never shown (components reference, section 4.2). */

import type { SecretStore } from '../../../runtime/contracts/secret-store.ts';

export function createEnvSecretStore(
  prefix: string,
  env: Readonly<Record<string, string | undefined>>,
): SecretStore {
  const hidden = (name: string): boolean => {
    const upper = name.toUpperCase();
    return upper === 'APP_API_TOKEN' || upper.startsWith('DAPR_');
  };
  // Only variables of its own: an environment object inherits names such as `toString`.
  const value = (name: string): string => (Object.hasOwn(env, name) ? (env[name] ?? '') : '');
  return {
    features: [],
    init: async () => {},
    close: async () => {},
    get: async (name) => ({ [name]: hidden(prefix + name) ? '' : value(prefix + name) }),
    bulkGet: async () => {
      const all: Record<string, Record<string, string>> = {};
      for (const [name, value] of Object.entries(env)) {
        if (value === undefined || !name.startsWith(prefix) || hidden(name)) continue;
        const key = name.slice(prefix.length);
        all[key] = { [key]: value };
      }
      return all;
    },
  };
}

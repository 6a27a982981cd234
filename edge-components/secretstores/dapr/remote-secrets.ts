/**
 * Secrets that another sidecar hands out (Dapr secrets API). While it cannot be reached, the last good answer is served
 * from the encrypted copy; an answer that says no (403, 404) is never replaced by a copy, and ends it.
 */

import type { ComponentDeps } from '../../../runtime/contracts/component.ts';
import { errorText } from '../../../runtime/contracts/error.ts';
import type { SecretStore } from '../../../runtime/contracts/secret-store.ts';
import type { ConnectionItems } from '../../drivers/dapr-api/connection-items.ts';
import {
  createFarSidecar,
  FarSidecarError,
  farJson,
  isOutage,
  metadataQuery,
} from '../../drivers/dapr-api/far-sidecar.ts';
import { createKeptCopy } from '../../drivers/dapr-api/kept-copy.ts';

export interface RemoteSecretsItems extends ConnectionItems {
  readonly keepCopy: boolean;
}

type Secret = Readonly<Record<string, string>>;

export function createRemoteSecrets(items: RemoteSecretsItems, deps: ComponentDeps): SecretStore {
  const far = createFarSidecar(items, deps);
  const kept = items.keepCopy ? createKeptCopy(deps) : undefined;

  const fetch = async (
    entry: string,
    part: string,
    metadata: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): Promise<unknown> => {
    try {
      const answer = await far.call({
        method: 'GET',
        path: ['v1.0', 'secrets', far.remoteName, part],
        query: metadataQuery(metadata),
        signal,
      });
      const text = Buffer.from(answer.body).toString('utf8');
      const parsed = farJson(answer);
      if (parsed !== undefined) await kept?.keep(entry, text);
      return parsed;
    } catch (error) {
      const copy = isOutage(error) ? kept?.read(entry) : undefined;
      if (copy !== undefined) {
        deps.log.warn(
          `${deps.componentName}: serving the copy kept ${Math.round(copy.ageMs / 1000)} s ago: ${errorText(error)}`,
        );
        return JSON.parse(copy.text);
      }
      const refused = error instanceof FarSidecarError && (error.status === 403 || error.status === 404);
      if (refused) await kept?.forget(entry);
      throw error;
    }
  };

  return {
    features: ['MULTIPLE_KEY_VALUES_PER_SECRET'],
    init: async () => {
      await far.open();
      await kept?.open();
    },
    close: async () => {
      far.close();
      await kept?.close();
    },
    get: async (name, metadata, signal) =>
      (await fetch(`secret:${name}`, name, metadata, signal)) as Secret | undefined,
    bulkGet: async (metadata, signal) =>
      (await fetch('bulk', 'bulk', metadata, signal)) as Readonly<Record<string, Secret>> | undefined,
  };
}

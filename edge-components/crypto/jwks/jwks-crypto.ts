/** Keys of a JSON Web Key Set by their `kid` (components reference, section 7). */

import type { KeyObject } from 'node:crypto';
import type { ComponentDeps } from '../../../runtime/contracts/component.ts';
import type { CryptoProvider } from '../../../runtime/contracts/crypto-provider.ts';
import { errorText } from '../../../runtime/contracts/error.ts';
import { unwrapFileKey, wrapFileKey } from '../../drivers/keys/key-wrap.ts';
import { checkKeyUse, keyOfJwk } from '../../drivers/keys/parse-key.ts';
import type { JwkSet } from '../../drivers/keys/remote-jwks.ts';
import { type KeySetOptions, type KeySetSource, openKeySet } from './key-set-source.ts';

const NO_KEY = 'failed to retrieve the key encryption key';

export function createJwksCrypto(
  options: KeySetOptions,
  deps: Pick<ComponentDeps, 'clock' | 'log' | 'componentName'>,
): CryptoProvider {
  let source: KeySetSource | undefined;

  const keyOf = async (
    kid: string,
    operation: 'wrapKey' | 'unwrapKey',
    algorithm: string,
  ): Promise<KeyObject> => {
    if (source === undefined) throw new Error(`${NO_KEY}: component ${deps.componentName} is closed`);
    let jwk: Readonly<Record<string, unknown>> | undefined;
    try {
      const set = await source.current();
      jwk = find(set, kid) ?? find((await source.newerThan(set)) ?? set, kid);
      if (jwk === undefined) throw new Error('key not found');
    } catch (error) {
      throw new Error(`${NO_KEY}: ${errorText(error)}`, { cause: error });
    }
    checkKeyUse(jwk, operation, algorithm);
    return keyOfJwk(jwk);
  };

  return {
    init: async () => {
      source = await openKeySet(options, deps);
    },
    close: async () => {
      source?.close();
      source = undefined;
    },
    wrapKey: async (fileKey, algorithm, keyName) =>
      wrapFileKey(fileKey, algorithm, await keyOf(keyName, 'wrapKey', algorithm)),
    unwrapKey: async (wrapped, algorithm, keyName) =>
      unwrapFileKey(wrapped, algorithm, await keyOf(keyName, 'unwrapKey', algorithm)),
  };
}

function find(set: JwkSet, kid: string): Readonly<Record<string, unknown>> | undefined {
  return set.keys.find((key) => key['kid'] === kid);
}

/** Keys by file name inside one folder, read at every use so that a rotated key needs no restart. */

import type { KeyObject } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { join, resolve, sep } from 'node:path';
import type { CryptoProvider } from '../../../runtime/contracts/crypto-provider.ts';
import { errorText } from '../../../runtime/contracts/error.ts';
import { unwrapFileKey, wrapFileKey } from '../../drivers/keys/key-wrap.ts';
import { parseKey } from '../../drivers/keys/parse-key.ts';

export function createLocalStorageCrypto(path: string): CryptoProvider {
  const root = resolve(path);
  const load = async (name: string): Promise<KeyObject> => {
    if (name.includes('..'))
      throw new Error("failed to retrieve the key encryption key: invalid key path: cannot contain '..'");
    const file = join(root, name);
    if (!file.startsWith(root + sep))
      throw new Error(`failed to retrieve the key encryption key: invalid key path: ${name}`);
    const bytes = await readFile(file).catch((error: Error) => {
      throw new Error(
        `failed to retrieve the key encryption key: failed to load key '${name}': ${errorText(error)}`,
      );
    });
    try {
      return parseKey(bytes, name);
    } catch (error) {
      throw new Error(
        `failed to retrieve the key encryption key: failed to parse key '${name}': ${errorText(error)}`,
      );
    }
  };
  return {
    init: async () => {
      const info = await stat(root).catch((error: Error) => {
        throw new Error(`metadata item 'path': ${error.message}`);
      });
      if (!info.isDirectory()) throw new Error(`metadata item 'path': expected a folder, ${root} is not one`);
    },
    close: async () => {},
    wrapKey: async (fileKey, algorithm, keyName) => wrapFileKey(fileKey, algorithm, await load(keyName)),
    unwrapKey: async (wrapped, algorithm, keyName) => unwrapFileKey(wrapped, algorithm, await load(keyName)),
  };
}

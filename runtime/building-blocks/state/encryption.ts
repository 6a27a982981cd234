/**
 * Values at rest: base64(nonce, cipher text, tag), `||`, name of the secret that held the key (components reference,
 * section 1.5). The JSON text or the bytes are encrypted as the caller gave them.
 */

import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { type LoadedComponent, metadataItem } from '../../contracts/component-source.ts';

const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const SEPARATOR = '||';

interface EncryptionKey {
  readonly name: string;
  readonly key: Buffer;
}

export interface StateCipher {
  encrypt(value: Uint8Array): Uint8Array;
  /** Rejects a record in clear or under an unknown key name. */
  decrypt(stored: Uint8Array): Uint8Array;
}

function readKey(component: LoadedComponent, item: string): EncryptionKey | undefined {
  const hex = metadataItem(component, item);
  if (hex === undefined || hex === '') return undefined;
  const name = metadataItem({ metadata: component.secretNames ?? {} }, item);
  if (name === undefined)
    throw new Error(`metadata item '${item}': expected a secretKeyRef, not a literal key`);
  const key = Buffer.from(hex, 'hex');
  if (key.length * 2 !== hex.length || ![16, 24, 32].includes(key.length)) {
    throw new Error(`metadata item '${item}': expected a hex key of 16, 24 or 32 bytes`);
  }
  return { name, key };
}

/** The cipher of a store with encryption keys in its metadata, `undefined` for others. */
export function stateCipher(component: LoadedComponent): StateCipher | undefined {
  const primary = readKey(component, 'primaryEncryptionKey');
  const secondary = readKey(component, 'secondaryEncryptionKey');
  if (primary === undefined) return undefined;
  return {
    encrypt: (value) => {
      const nonce = randomBytes(NONCE_BYTES);
      const cipher = createCipheriv(`aes-${primary.key.length * 8}-gcm` as 'aes-256-gcm', primary.key, nonce);
      const sealed = Buffer.concat([nonce, cipher.update(value), cipher.final(), cipher.getAuthTag()]);
      return Buffer.from(`${sealed.toString('base64')}${SEPARATOR}${primary.name}`);
    },
    decrypt: (stored) => {
      const text = Buffer.from(stored).toString('latin1');
      const at = text.lastIndexOf(SEPARATOR);
      const name = at < 0 ? '' : Buffer.from(text.slice(at + SEPARATOR.length), 'latin1').toString('utf8');
      const key = [primary, secondary].find(
        (candidate) => candidate !== undefined && candidate.name === name,
      );
      if (key === undefined)
        throw new Error(
          at < 0 ? 'the record is not encrypted' : `no encryption key named '${name}' is configured`,
        );
      const sealed = Buffer.from(text.slice(0, at), 'base64');
      if (sealed.length < NONCE_BYTES + TAG_BYTES) throw new Error('the encrypted record is too short');
      const decipher = createDecipheriv(
        `aes-${key.key.length * 8}-gcm` as 'aes-256-gcm',
        key.key,
        sealed.subarray(0, NONCE_BYTES),
      );
      decipher.setAuthTag(sealed.subarray(sealed.length - TAG_BYTES));
      return Buffer.concat([
        decipher.update(sealed.subarray(NONCE_BYTES, sealed.length - TAG_BYTES)),
        decipher.final(),
      ]);
    },
  };
}

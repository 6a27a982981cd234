/** Encryption and decryption of documents with keys of a crypto provider (HTTP reference, section 15.1). */

import { randomBytes } from 'node:crypto';
import type { CryptoBlock } from '../../contracts/blocks.ts';
import type { ComponentSource, LoadedComponent } from '../../contracts/component-source.ts';
import { errorText, RuntimeError, runtimeError } from '../../contracts/error.ts';
import { type ComponentCallDeps, callComponent } from '../component-call.ts';
import { type ByteReader, byteReader } from './byte-reader.ts';
import {
  CIPHERS,
  type DecodedHeader,
  decodeHeader,
  encodeHeader,
  MAX_HEADER_BYTES,
  SEGMENT_BYTES,
  segmentCipher,
  TAG_BYTES,
  WRAP_IDS,
  WRAP_NAMES,
} from './scheme.ts';

export interface CryptoBlockDeps extends ComponentCallDeps {
  readonly components: ComponentSource;
}

const FILE_KEY_BYTES = 32;
const NONCE_PREFIX_BYTES = 7;

/** The three lines in front of the segments. */
async function readHeader(reader: ByteReader): Promise<DecodedHeader> {
  const line = async (what: string): Promise<Buffer> => {
    const found = await reader.line(MAX_HEADER_BYTES);
    if (found === undefined) throw new Error(`invalid header: ${what} not found`);
    return found;
  };
  return decodeHeader([
    await line('scheme name'),
    await line('manifest'),
    await line('message authentication code'),
  ]);
}

export function createCryptoBlock(deps: CryptoBlockDeps): CryptoBlock {
  const find = (provider: string): LoadedComponent<'crypto'> => {
    if (deps.components.list('crypto').length === 0) throw runtimeError('cryptoProvidersNotConfigured');
    const component = deps.components.get('crypto', provider);
    if (provider === '') throw runtimeError('badRequest', { error: 'missing component name' });
    if (component === undefined) throw runtimeError('cryptoProviderNotFound', { provider });
    return component;
  };
  /** Errors of the source itself (a body that is too large) stay what they are. */
  const failed = (error: unknown): Error =>
    error instanceof RuntimeError
      ? error
      : runtimeError('crypto', { error: errorText(error) }, { cause: error });

  return {
    check: (provider) => void find(provider),
    encrypt: async (provider, options, plain, call) => {
      const component = find(provider);
      const algorithm = options.keyWrapAlgorithm.toUpperCase();
      const wrapId = WRAP_IDS[algorithm];
      const cipherName = (
        options.dataEncryptionCipher === '' ? 'aes-gcm' : options.dataEncryptionCipher
      ).toUpperCase();
      const cipher = CIPHERS[cipherName];
      // The CBC names have no place for their IV in this scheme: refused by name (a difference from daprd).
      if (wrapId === undefined || algorithm.includes('CBC'))
        throw failed(`option Algorithm is not valid: algorithm ${algorithm} is not supported`);
      if (cipher === undefined)
        throw failed(`option Cipher is not valid: cipher ${cipherName} is not supported`);
      const fileKey = randomBytes(FILE_KEY_BYTES);
      const noncePrefix = randomBytes(NONCE_PREFIX_BYTES);
      const wrapName = WRAP_NAMES[wrapId] ?? algorithm;
      const wrappedKey = await callComponent(deps, 'Crypto', provider, 'crypto_op', call, (signal) =>
        component.instance.wrapKey(fileKey, wrapName, options.keyName, signal),
      ).catch((error) => {
        throw failed(`failed to wrap the file key: ${errorText(error)}`);
      });
      const keyName = options.omitDecryptionKeyName
        ? ''
        : options.decryptionKeyName === ''
          ? options.keyName
          : options.decryptionKeyName;
      const header = encodeHeader({ keyName, wrapId, wrappedKey, cipher, noncePrefix }, fileKey);
      const segments = segmentCipher({ cipher, noncePrefix }, fileKey);
      return (async function* () {
        yield header;
        for await (const { block, last } of byteReader(plain).blocks(SEGMENT_BYTES))
          yield segments.seal(block, last);
      })();
    },
    decrypt: async (provider, keyName, sealed, call) => {
      const component = find(provider);
      const reader = byteReader(sealed);
      const header = await readHeader(reader).catch((error) => {
        throw failed(error);
      });
      const { manifest } = header;
      const name = keyName === '' ? manifest.keyName : keyName;
      if (name === '')
        throw failed("document's manifest does not contain a key name, and no key name was provided");
      let fileKey: Uint8Array;
      try {
        fileKey = await callComponent(deps, 'Crypto', provider, 'crypto_op', call, (signal) =>
          component.instance.unwrapKey(manifest.wrappedKey, WRAP_NAMES[manifest.wrapId] ?? '', name, signal),
        );
        header.verify(fileKey);
      } catch (cause) {
        // What exactly does not fit is no business of who tries documents out.
        throw runtimeError('crypto', { error: "failed to validate the document's signature" }, { cause });
      }
      const segments = segmentCipher(manifest, fileKey);
      return (async function* () {
        let number = 0;
        for await (const { block, last } of reader.blocks(SEGMENT_BYTES + TAG_BYTES)) {
          // daprd writes an empty document without any segment.
          if (number === 0 && last && block.length === 0) return;
          let plain: Buffer;
          try {
            plain = segments.open(block, last);
          } catch (cause) {
            const error = `error processing segment ${number}: failed to decrypt segment`;
            throw runtimeError('unknown', { error }, { cause });
          }
          number += 1;
          yield plain;
        }
      })();
    },
  };
}

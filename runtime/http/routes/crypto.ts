/** Encryption over HTTP (Dapr HTTP reference, section 15). Input is streamed; output is sent when it is complete. */

import type { CryptoBlock } from '../../contracts/blocks.ts';
import { errorText, RuntimeError, runtimeError } from '../../contracts/error.ts';
import { isTruthy } from '../../contracts/metadata.ts';
import type { ApiRequest, HttpHandler } from '../api-request.ts';
import { collect } from '../body.ts';
import { checkMessage } from '../message-fields.ts';
import type { Reply } from '../respond.ts';
import type { HttpHandlers } from '../router.ts';

type CryptoHandlers = Pick<
  HttpHandlers,
  | 'cryptoEncrypt'
  | 'cryptoDecrypt'
  | 'subtleGetKey'
  | 'subtleEncrypt'
  | 'subtleDecrypt'
  | 'subtleWrapKey'
  | 'subtleUnwrapKey'
  | 'subtleSign'
  | 'subtleVerify'
>;

const BINARY: readonly string[] = ['Content-Type', 'application/octet-stream'];

/** The subtle API is not part of Dapr's standard builds. */
const unimplemented: HttpHandler = async (request) => {
  await checkMessage(request);
  throw runtimeError('unimplemented');
};

export function cryptoHandlers(crypto: CryptoBlock): CryptoHandlers {
  return {
    cryptoEncrypt: async (request) => {
      const options = {
        keyName: request.header('dapr-key-name'),
        keyWrapAlgorithm: request.header('dapr-key-wrap-algorithm'),
        dataEncryptionCipher: request.header('dapr-data-encryption-cipher'),
        omitDecryptionKeyName: isTruthy(request.header('dapr-omit-decryption-key-name')),
        decryptionKeyName: request.header('dapr-decryption-key-name'),
      };
      crypto.check?.(request.param(0));
      if (options.keyName === '') throw missingHeader('dapr-key-name');
      if (options.keyWrapAlgorithm === '') throw missingHeader('dapr-key-wrap-algorithm');
      return whole(await crypto.encrypt(request.param(0), options, request.body.stream(), request.call));
    },
    cryptoDecrypt: async (request: ApiRequest) =>
      whole(
        await crypto.decrypt(
          request.param(0),
          request.header('dapr-key-name'),
          request.body.stream(),
          request.call,
        ),
      ),
    subtleGetKey: unimplemented,
    subtleEncrypt: unimplemented,
    subtleDecrypt: unimplemented,
    subtleWrapKey: unimplemented,
    subtleUnwrapKey: unimplemented,
    subtleSign: unimplemented,
    subtleVerify: unimplemented,
  };
}

const missingHeader = (name: string): RuntimeError =>
  runtimeError('badRequest', { error: `missing header '${name}'` });

async function whole(output: AsyncIterable<Uint8Array>): Promise<Reply> {
  try {
    return { status: 200, headers: BINARY, body: await collect(output) };
  } catch (error) {
    if (error instanceof RuntimeError) throw error;
    // Trouble found while streaming (a tampered segment, a body too long) has no code of its own.
    throw runtimeError('unknown', { error: errorText(error) }, { cause: error });
  }
}

/** Wrapping of 32-byte file keys with local keys: AES key wrap (RFC 3394) and RSA-OAEP with SHA-256. */

import {
  constants,
  createCipheriv,
  createDecipheriv,
  type KeyObject,
  privateDecrypt,
  publicEncrypt,
} from 'node:crypto';

const AES_WRAP_IV = Buffer.alloc(8, 0xa6);

function secretBytes(key: KeyObject): Buffer {
  if (key.type !== 'secret') throw new Error('key type mismatch');
  const bytes = key.export();
  if (bytes.length !== 32)
    throw new Error(`key size mismatch: A256KW needs a key of 32 bytes, this one has ${bytes.length}`);
  return bytes;
}

function rsaKey(key: KeyObject): KeyObject {
  if (key.type === 'secret' || key.asymmetricKeyType !== 'rsa') throw new Error('key type mismatch');
  return key;
}

/** Wraps `fileKey`; `algorithm` is `A256KW` or `RSA-OAEP-256`. */
export function wrapFileKey(fileKey: Uint8Array, algorithm: string, key: KeyObject): Buffer {
  if (algorithm === 'A256KW') {
    const cipher = createCipheriv('id-aes256-wrap', secretBytes(key), AES_WRAP_IV);
    return Buffer.concat([cipher.update(fileKey), cipher.final()]);
  }
  if (algorithm === 'RSA-OAEP-256') {
    return publicEncrypt(
      { key: rsaKey(key), padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha256' },
      fileKey,
    );
  }
  throw new Error('failed to encrypt data: unsupported algorithm');
}

export function unwrapFileKey(wrapped: Uint8Array, algorithm: string, key: KeyObject): Buffer {
  if (algorithm === 'A256KW') {
    const decipher = createDecipheriv('id-aes256-wrap', secretBytes(key), AES_WRAP_IV);
    return Buffer.concat([decipher.update(wrapped), decipher.final()]);
  }
  if (algorithm === 'RSA-OAEP-256') {
    const rsa = rsaKey(key);
    if (rsa.type !== 'private') throw new Error('the key is public; a private key is needed');
    return privateDecrypt(
      { key: rsa, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha256' },
      wrapped,
    );
  }
  throw new Error('failed to decrypt data: unsupported algorithm');
}

/** A cryptography component: keys by name, wrap and unwrap of file keys. The document format is the block's. */

import type { ComponentInstance } from './component.ts';

export interface CryptoProvider extends ComponentInstance {
  /** Wraps the 32-byte file key with the named key. `algorithm` is Dapr's upper-case name (`A256KW`, `RSA-OAEP-256`). */
  wrapKey(fileKey: Uint8Array, algorithm: string, keyName: string, signal: AbortSignal): Promise<Uint8Array>;
  unwrapKey(
    wrapped: Uint8Array,
    algorithm: string,
    keyName: string,
    signal: AbortSignal,
  ): Promise<Uint8Array>;
}

/** Randomness, behind an interface so that tests can seed it. */

export interface Random {
  /** A float in [0, 1). */
  float(): number;
  /** `length` random bytes fit for cryptographic use outside tests. */
  bytes(length: number): Uint8Array;
}

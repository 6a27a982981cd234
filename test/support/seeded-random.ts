/** A reproducible random source (mulberry32). */

import type { Random } from '../../runtime/contracts/random.ts';

export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  const float = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
  return { float, bytes: (length) => Uint8Array.from({ length }, () => Math.floor(float() * 256)) };
}

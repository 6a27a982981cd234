/** Randomness of the operating system. */

import { randomBytes } from 'node:crypto';
import type { Random } from '../contracts/random.ts';

export function systemRandom(): Random {
  return { float: () => Math.random(), bytes: (length) => randomBytes(length) };
}

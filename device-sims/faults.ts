/** What goes wrong with devices in the field, decided by the device's own random source. */

import type { Random } from '../runtime/contracts/random.ts';
import type { Reading } from './device.ts';

export const FAULTS = ['disconnects', 'bursts', 'wrong-clock', 'malformed'] as const;

export type Fault = (typeof FAULTS)[number];

/** The faults of one device. */
export interface FaultPlan {
  /** Added to the device's clock for its whole life. */
  readonly clockOffsetMs: number;
  /** Messages sent in place of one. */
  burst(): number;
  /** Whether the connection breaks now. */
  disconnects(): boolean;
  /** The reading as it leaves the device. */
  spoil(reading: Reading): Reading;
}

const BURST = 25;
const BURST_CHANCE = 0.02;
const DISCONNECT_CHANCE = 0.02;
const MALFORMED_CHANCE = 0.05;

/** A list such as `disconnects,malformed`; names the word it does not know. */
export function parseFaults(text: string): readonly Fault[] {
  const words = text
    .split(',')
    .map((word) => word.trim())
    .filter((word) => word !== '' && word !== 'none');
  for (const word of words) {
    if (!FAULTS.includes(word as Fault))
      throw new Error(`unknown fault '${word}': expected ${FAULTS.join(', ')}`);
  }
  return words as Fault[];
}

/** `now` is the true time, from which a device with an empty battery falls back to 1970. */
export function faultPlan(faults: readonly Fault[], random: Random, now: number): FaultPlan {
  const chance = (fault: Fault, probability: number): boolean =>
    faults.includes(fault) && random.float() < probability;
  const wrongClock = chance('wrong-clock', 0.5);
  return {
    clockOffsetMs: !wrongClock
      ? 0
      : random.float() < 0.5
        ? -now
        : Math.floor((random.float() - 0.5) * 2 * 86_400_000),
    burst: () => (chance('bursts', BURST_CHANCE) ? BURST : 1),
    disconnects: () => chance('disconnects', DISCONNECT_CHANCE),
    spoil: (reading) => {
      if (!chance('malformed', MALFORMED_CHANCE)) return reading;
      const cut = Math.floor(random.float() * reading.payload.byteLength);
      // Cut short, with a byte that is no UTF-8: what a device sends whose buffer overran.
      return { ...reading, payload: Buffer.concat([reading.payload.subarray(0, cut), Buffer.from([0xff])]) };
    },
  };
}

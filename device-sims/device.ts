/** A simulated device: what it is called, what it publishes when, and how it answers commands. Pure, no connection. */

import type { Random } from '../runtime/contracts/random.ts';

/** One message a device wants to send. */
export interface Reading {
  /** Below the device's own topic: `temperature` becomes `devices/<id>/temperature`. */
  readonly measurement: string;
  readonly payload: Uint8Array;
  readonly qos: 0 | 1;
  readonly retain: boolean;
}

/** What a device knows when it measures. */
export interface Moment {
  /** Milliseconds since 1970 by the device's own clock. */
  readonly now: number;
  readonly random: Random;
}

export interface Device {
  measure(moment: Moment): Reading;
  /** Answers a message on `devices/<id>/set`; `undefined` for commands it does not know. */
  command?(payload: Uint8Array, moment: Moment): Reading | undefined;
}

export interface Profile {
  readonly name: string;
  create(random: Random): Device;
}

/** A reading with a JSON payload. */
export function jsonReading(
  measurement: string,
  value: unknown,
  options: { qos?: 0 | 1; retain?: boolean } = {},
): Reading {
  return {
    measurement,
    payload: Buffer.from(JSON.stringify(value)),
    qos: options.qos ?? 1,
    retain: options.retain ?? false,
  };
}

/** ISO 8601 time of a moment. */
export function timestamp(moment: Moment): string {
  return Temporal.Instant.fromEpochMilliseconds(moment.now).toString();
}

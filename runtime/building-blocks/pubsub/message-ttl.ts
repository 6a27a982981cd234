/**
 * Time to live of a message (HTTP reference, 7.5). Where the component has no `MESSAGE_TTL` the runtime writes
 * `expiration` into the envelope and drops what is late at delivery.
 */

import type { CloudEvent } from '../../contracts/cloud-event.ts';
import { parseGoDuration } from '../../contracts/duration.ts';

/** Before this moment (2020-01-01) a wall clock has evidently not been set: nothing may expire by it. */
const CLOCK_IS_SET_FROM = 1_577_836_800_000;

/** Ms of the metadata item `ttl`, else `ttlInSeconds`; `undefined` when there is none, or none that can be used. */
export function messageTtlMs(metadata: Readonly<Record<string, string>>): number | undefined {
  let ttl: string | undefined;
  let seconds: string | undefined;
  for (const name in metadata) {
    const lower = name.toLowerCase();
    if (lower === 'ttl') ttl = metadata[name];
    else if (lower === 'ttlinseconds') seconds = metadata[name];
  }
  const text = ttl ?? seconds;
  if (text === undefined || text === '') return undefined;
  const ms = /^[+-]?\d+$/.test(text) ? Number(text) * 1000 : parseGoDuration(text);
  return ms !== undefined && ms > 0 && Number.isFinite(ms) ? ms : undefined;
}

/** Text of `expiration` for a message published `now`; rounded up to whole seconds so that nothing expires early. */
export function expirationText(metadata: Readonly<Record<string, string>>, now: number): string | undefined {
  const ttl = messageTtlMs(metadata);
  if (ttl === undefined || now < CLOCK_IS_SET_FROM) return undefined;
  const latest = 253_402_300_799_000;
  return rfc3339(Math.min(Math.ceil((now + ttl) / 1000) * 1000, latest));
}

/** Whether `expiration` of an envelope has passed. What is not an RFC 3339 time never expires. */
export function hasExpired(envelope: CloudEvent, now: number): boolean {
  const expiration = envelope['expiration'];
  if (typeof expiration !== 'string' || expiration === '' || now < CLOCK_IS_SET_FROM) return false;
  try {
    return Temporal.Instant.from(expiration).epochMilliseconds < now;
  } catch {
    return false;
  }
}

/** RFC 3339 text in UTC with whole seconds. */
export function rfc3339(ms: number): string {
  return Temporal.Instant.fromEpochMilliseconds(Math.floor(ms)).toString({ smallestUnit: 'second' });
}

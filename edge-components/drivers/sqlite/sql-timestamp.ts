/** Time as SQLite's `CURRENT_TIMESTAMP` writes it (UTC, whole seconds), taken from the injected clock. */

import type { Clock } from '../../../runtime/contracts/clock.ts';

/** `2030-01-31 23:59:59` of a moment in milliseconds since 1970. */
export function sqlTimestamp(ms: number): string {
  const text = Temporal.Instant.fromEpochMilliseconds(Math.floor(ms / 1000) * 1000).toString();
  return `${text.slice(0, 10)} ${text.slice(11, 19)}`;
}

/** RFC 3339 of such a text. */
export function rfc3339(timestamp: string): string {
  return `${timestamp.slice(0, 10)}T${timestamp.slice(11, 19)}Z`;
}

/** The current timestamp, formatted once per second however often it is asked. */
export function currentTimestamp(clock: Clock): () => string {
  let second = Number.NaN;
  let text = '';
  return () => {
    const now = Math.floor(clock.now() / 1000);
    if (now !== second) {
      second = now;
      text = sqlTimestamp(now * 1000);
    }
    return text;
  };
}

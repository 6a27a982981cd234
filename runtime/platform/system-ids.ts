/** Real identifiers: UUID v4 from the operating system, UUID v7 (RFC 9562, section 5.7) that never goes backwards. */

import { randomFillSync, randomUUID } from 'node:crypto';
import type { Clock } from '../contracts/clock.ts';
import type { Ids } from '../contracts/ids.ts';

export function systemIds(clock: Clock): Ids {
  const random = new Uint8Array(10);
  let lastMs = 0;
  let sequence = 0;
  return {
    uuid: () => randomUUID(),
    uuidv7: () => {
      const now = clock.now();
      // A clock that stands still or jumps back must not break the order: the 12-bit counter carries on, and a full
      // counter borrows the next millisecond.
      if (now > lastMs) {
        lastMs = now;
        sequence = 0;
      } else {
        sequence += 1;
        if (sequence > 0xfff) {
          lastMs += 1;
          sequence = 0;
        }
      }
      randomFillSync(random);
      const time = Math.floor(lastMs).toString(16).padStart(12, '0');
      const tail = Buffer.from(random.buffer, 0, 8);
      tail[0] = ((tail[0] ?? 0) & 0x3f) | 0x80;
      const hex = tail.toString('hex');
      const counter = (0x7000 | sequence).toString(16);
      return `${time.slice(0, 8)}-${time.slice(8)}-${counter}-${hex.slice(0, 4)}-${hex.slice(4)}`;
    },
  };
}

/** Ids that count up, in the form of UUIDs. */

import type { Ids } from '../../runtime/contracts/ids.ts';

export function countingIds(): Ids {
  let count = 0;
  const next = (version: string): string => {
    count += 1;
    return `00000000-0000-${version}000-8000-${count.toString(16).padStart(12, '0')}`;
  };
  return { uuid: () => next('4'), uuidv7: () => next('7') };
}

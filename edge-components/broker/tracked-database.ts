/** A database handle that knows when everything written through it was answered, for an orderly end. */

import type { Database } from '../../runtime/contracts/database.ts';

export interface TrackedDatabase extends Database {
  /** Resolves when no write is on its way. */
  settled(): Promise<void>;
}

export function trackWrites(database: Database): TrackedDatabase {
  let open = 0;
  let idle: (() => void)[] = [];
  const done = (): void => {
    open -= 1;
    if (open > 0) return;
    const waiting = idle;
    idle = [];
    for (const resolve of waiting) resolve();
  };
  return {
    write: (steps, lingerMs) => {
      open += 1;
      const written = database.write(steps, lingerMs);
      written.then(done, done);
      return written;
    },
    read: (sql, params) => database.read(sql, params),
    close: () => database.close(),
    settled: () => (open === 0 ? Promise.resolve() : new Promise((resolve) => idle.push(resolve))),
  };
}

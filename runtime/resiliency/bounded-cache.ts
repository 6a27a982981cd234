/** A map of bounded size; once it is full, what was not asked for the longest goes first. */

export interface BoundedCache<T> {
  /** The value of `key`, made when absent. */
  get(key: string, make: () => T): T;
}

export function boundedCache<T>(size: number): BoundedCache<T> {
  const entries = new Map<string, T>();
  return {
    get: (key, make) => {
      const known = entries.get(key);
      if (known !== undefined) {
        // The order matters only when something may have to go soon.
        if (entries.size * 2 > size) {
          entries.delete(key);
          entries.set(key, known);
        }
        return known;
      }
      if (entries.size >= size) dropOldest(entries);
      const value = make();
      entries.set(key, value);
      return value;
    },
  };
}

function dropOldest(entries: Map<string, unknown>): void {
  for (const oldest of entries.keys()) {
    entries.delete(oldest);
    return;
  }
}

/** Things that several users share: opened by the first, counted, closed with the last. */

export interface Closable {
  close(): Promise<void>;
}

export interface Use<T> {
  readonly value: T;
  /** Gives the share back; the last one closes the value. Calling it again does nothing. */
  release(): Promise<void>;
}

export interface UsagePool {
  use<T extends Closable>(key: string, open: () => Promise<T>): Promise<Use<T>>;
}

export function createUsagePool(): UsagePool {
  const shared = new Map<string, { opening: Promise<Closable>; users: number }>();
  return {
    use: async <T extends Closable>(key: string, open: () => Promise<T>) => {
      const entry = shared.get(key) ?? { opening: open(), users: 0 };
      shared.set(key, entry);
      entry.users += 1;
      const leave = (): boolean => {
        entry.users -= 1;
        if (entry.users > 0) return false;
        if (shared.get(key) === entry) shared.delete(key);
        return true;
      };
      let value: T;
      try {
        value = (await entry.opening) as T;
      } catch (error) {
        leave();
        throw error;
      }
      let released = false;
      return {
        value,
        release: async () => {
          if (released) return;
          released = true;
          if (leave()) await value.close();
        },
      };
    },
  };
}

/** What one flow learns of a remote, the others on it hear: it is there again, so nobody sits out a pause. */

export interface Returns {
  /** Calls `run` when somebody found `remote` there again. */
  on(remote: string, run: () => void): void;
  tell(remote: string): void;
}

export function createReturns(): Returns {
  const listeners = new Map<string, (() => void)[]>();
  return {
    on: (remote, run) => void listeners.set(remote, [...(listeners.get(remote) ?? []), run]),
    tell: (remote) => {
      for (const run of listeners.get(remote) ?? []) run();
    },
  };
}

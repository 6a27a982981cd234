/** One batch at a time over each link; of those that wait the most urgent goes first, then the one that came first. */

export interface Turns {
  /** Runs `work` when the link `name` is free. */
  run<T>(name: string, priority: number, work: () => Promise<T>): Promise<T>;
}

interface Waiting {
  readonly priority: number;
  readonly go: () => void;
}

export function createTurns(): Turns {
  const busy = new Map<string, Waiting[]>();
  return {
    run: async (name, priority, work) => {
      const line = busy.get(name);
      if (line === undefined) busy.set(name, []);
      else await new Promise<void>((go) => void line.push({ priority, go }));
      try {
        return await work();
      } finally {
        const waiting = busy.get(name) ?? [];
        let next = 0;
        waiting.forEach((entry, at) => {
          if (entry.priority > (waiting[next]?.priority ?? -1)) next = at;
        });
        const [chosen] = waiting.splice(next, 1);
        if (chosen === undefined) busy.delete(name);
        else chosen.go();
      }
    },
  };
}

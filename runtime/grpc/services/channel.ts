/** A hand-over between producers and the one reader that writes to a stream; producers wait until they are read. */

export interface Channel<T> extends AsyncIterable<T> {
  /** Resolves once the reader took `item`; false when the channel is closed. */
  push(item: T): Promise<boolean>;
  /** Ends the reading, after what was pushed; with `error` it fails at once. */
  close(error?: Error): void;
}

/** A channel that holds only what producers wait for. */
export function createChannel<T>(): Channel<T> {
  const waiting: { readonly item: T; taken(accepted: boolean): void }[] = [];
  let wake: (() => void) | undefined;
  let closed = false;
  let failure: Error | undefined;

  return {
    push: (item) => {
      if (closed) return Promise.resolve(false);
      return new Promise((resolve) => {
        waiting.push({ item, taken: resolve });
        wake?.();
      });
    },
    close: (error) => {
      if (closed) return;
      closed = true;
      failure = error;
      if (error !== undefined) for (const entry of waiting.splice(0)) entry.taken(false);
      wake?.();
    },
    async *[Symbol.asyncIterator]() {
      try {
        for (;;) {
          if (failure !== undefined) throw failure;
          const entry = waiting.shift();
          if (entry !== undefined) {
            entry.taken(true);
            yield entry.item;
          } else if (closed) return;
          else {
            await new Promise<void>((resolve) => {
              wake = resolve;
            });
          }
        }
      } finally {
        closed = true;
        for (const entry of waiting.splice(0)) entry.taken(false);
      }
    },
  };
}

/** At most so many publishes under way at a time; the others wait for a place. */

type Done = (error: Error | undefined) => void;

export class PublishWindow {
  readonly #size: number;
  #taken = 0;
  #waiting: Done[] = [];

  constructor(size: number) {
    this.#size = size;
  }

  /** Takes a place; `wait` bounds the wait for one (timeout, signal, end of the connection). */
  async enter(wait: (act: (done: Done) => void) => Promise<void>): Promise<void> {
    while (this.#taken >= this.#size) await wait((done) => this.#waiting.push(done));
    this.#taken += 1;
  }

  leave(): void {
    this.#taken -= 1;
    // All of them: some may have given up, and those that find no place wait on.
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const done of waiting) done(undefined);
  }
}

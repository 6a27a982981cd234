/**
 * What was promised on one side and what came on the other, per flow. Numbers count up per key. A call whose answer was
 * lost may have been taken or not: its number may come, and need not.
 */

export interface Verdict {
  readonly lost: readonly string[];
  readonly invented: readonly string[];
  readonly outOfOrder: readonly string[];
  readonly repeatsSeen: readonly string[];
  /** Repeats that the app dropped by their id. */
  readonly repeats: number;
  readonly accepted: number;
}

export class Ledger {
  readonly #accepted = new Set<string>();
  readonly #open = new Set<string>();
  readonly #ids = new Set<string>();
  readonly #came = new Set<string>();
  readonly #last = new Map<string, number>();
  readonly #outOfOrder: string[] = [];
  readonly #invented: string[] = [];
  readonly #repeatsSeen: string[] = [];
  #repeats = 0;

  /** Before the call. */
  sending(key: string, n: number): void {
    this.#open.add(`${key}:${n}`);
  }

  accepted(key: string, n: number): void {
    this.#accepted.add(`${key}:${n}`);
  }

  /** A message as the app got it; one with a known id is dropped, as an app does. */
  came(id: string, key: string, n: number): void {
    if (this.#ids.has(id)) {
      this.#repeats += 1;
      return;
    }
    this.#ids.add(id);
    const name = `${key}:${n}`;
    if (!this.#open.has(name)) this.#invented.push(name);
    if (this.#came.has(name)) this.#repeatsSeen.push(name);
    const last = this.#last.get(key) ?? 0;
    if (n < last) this.#outOfOrder.push(`${name} after ${last}`);
    this.#last.set(key, Math.max(last, n));
    this.#came.add(name);
  }

  get someCame(): boolean {
    return this.#came.size > 0;
  }

  /** What was accepted so far and did not come is no loss: nobody was there for it. */
  forgive(): void {
    for (const name of [...this.#accepted]) if (!this.#came.has(name)) this.#accepted.delete(name);
  }

  get missing(): number {
    let missing = 0;
    for (const name of this.#accepted) if (!this.#came.has(name)) missing += 1;
    return missing;
  }

  verdict(): Verdict {
    return {
      lost: [...this.#accepted].filter((name) => !this.#came.has(name)),
      invented: this.#invented,
      outOfOrder: this.#outOfOrder,
      repeatsSeen: this.#repeatsSeen,
      repeats: this.#repeats,
      accepted: this.#accepted.size,
    };
  }
}

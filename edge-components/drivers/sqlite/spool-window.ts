/**
 * The next messages of a queue in the order they should go (higher priority first, then older), without their
 * payloads. A long queue has only its front here; the rest is read when the front is used up.
 */

export interface WindowEntry {
  readonly sequence: number;
  readonly key: string;
  readonly priority: number;
}

const MAX_ENTRIES = 512;

export class SpoolWindow {
  #entries: WindowEntry[] = [];
  #complete = false;

  /** Whether it must be read from disk before anything can be said. */
  get exhausted(): boolean {
    return this.#entries.length === 0 && !this.#complete;
  }

  /** Whether more wait than it holds. */
  get isFront(): boolean {
    return !this.#complete && this.#entries.length > 0;
  }

  /** Rows to ask for, beyond those that are to be skipped. */
  get capacity(): number {
    return MAX_ENTRIES;
  }

  /** Replaces the content; `complete` when there are no more rows than these. */
  load(entries: readonly WindowEntry[], complete: boolean): void {
    this.#entries = entries.slice(0, MAX_ENTRIES);
    this.#complete = complete && entries.length <= MAX_ENTRIES;
  }

  /** Forgets everything; the next look reads from disk. */
  invalidate(): void {
    this.#entries = [];
    this.#complete = false;
  }

  /** A new pending message. Ignored when it lies behind the front: a later read finds it. */
  add(entry: WindowEntry): void {
    const entries = this.#entries;
    let at = entries.length;
    while (at > 0 && before(entry, entries[at - 1] as WindowEntry)) at -= 1;
    if (entries[at - 1]?.sequence === entry.sequence) return;
    if (at === entries.length && !this.#complete) return;
    entries.splice(at, 0, entry);
    if (entries.length > MAX_ENTRIES) {
      entries.pop();
      this.#complete = false;
    }
  }

  remove(sequence: number): void {
    const at = this.#entries.findIndex((entry) => entry.sequence === sequence);
    if (at >= 0) this.#entries.splice(at, 1);
  }

  removeKey(key: string): void {
    this.#entries = this.#entries.filter((entry) => entry.key !== key);
  }

  /** The first entry whose key is not busy. */
  first(busy: { has(key: string): boolean }): WindowEntry | undefined {
    return this.#entries.find((entry) => !busy.has(entry.key));
  }
}

function before(a: WindowEntry, b: WindowEntry): boolean {
  return a.priority === b.priority ? a.sequence < b.sequence : a.priority > b.priority;
}

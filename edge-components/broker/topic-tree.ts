/**
 * Values stored under MQTT topic filters, found by topic name in time proportional to the levels of the name and not
 * to the number of filters. The broker keeps two: who listens now, and which sessions must be given a message later.
 */

interface Level<T> {
  readonly children: Map<string, Level<T>>;
  readonly values: Set<T>;
}

const emptyLevel = <T>(): Level<T> => ({ children: new Map(), values: new Set() });

/** A tree of topic filters; one filter may hold several distinct values. */
export class TopicTree<T> {
  readonly #root: Level<T> = emptyLevel();

  add(filter: string, value: T): void {
    let level = this.#root;
    for (const name of filter.split('/')) {
      let next = level.children.get(name);
      if (next === undefined) {
        next = emptyLevel();
        level.children.set(name, next);
      }
      level = next;
    }
    level.values.add(value);
  }

  /** Removes `value` and the levels that became empty. */
  remove(filter: string, value: T): void {
    const path: [Level<T>, string][] = [];
    let level = this.#root;
    for (const name of filter.split('/')) {
      const next = level.children.get(name);
      if (next === undefined) return;
      path.push([level, name]);
      level = next;
    }
    level.values.delete(value);
    for (const [parent, name] of path.reverse()) {
      const child = parent.children.get(name);
      if (child === undefined || child.values.size > 0 || child.children.size > 0) return;
      parent.children.delete(name);
    }
  }

  /** Calls `visit` for each value whose filter covers `topic`; a value under two such filters is visited twice. */
  match(topic: string, visit: (value: T) => void): void {
    const levels = topic.split('/');
    this.#walk(this.#root, levels, 0, topic.charCodeAt(0) === 36 /* $: [MQTT-4.7.2-1] */, visit);
  }

  #walk(
    level: Level<T>,
    levels: readonly string[],
    depth: number,
    reserved: boolean,
    visit: (value: T) => void,
  ): void {
    const wild = depth > 0 || !reserved;
    if (wild) {
      const rest = level.children.get('#');
      if (rest !== undefined) for (const value of rest.values) visit(value);
    }
    const name = levels[depth];
    if (name === undefined) {
      for (const value of level.values) visit(value);
      return;
    }
    const exact = level.children.get(name);
    if (exact !== undefined) this.#walk(exact, levels, depth + 1, reserved, visit);
    const any = wild ? level.children.get('+') : undefined;
    if (any !== undefined) this.#walk(any, levels, depth + 1, reserved, visit);
  }
}

/**
 * What became of every write to a synced key. A value is the set of the writes that it stands on, as the fields of an object: an
 * app reads the value, adds a field of its own and writes it back onto the version that it read. A write that is not among
 * the fields in the end was replaced by somebody who did not know it, and must stand in a conflict that was reported.
 */

import { isDeepStrictEqual } from 'node:util';

/** The writes that a value stands on. */
export type Lineage = Readonly<Record<string, number>>;

export interface Report {
  readonly id: string;
  readonly flow: string;
  readonly key: string;
  readonly local: Lineage | null;
  readonly remote: Lineage | null;
}

export class Histories {
  readonly #sent = new Map<string, Set<string>>();
  readonly #confirmed = new Map<string, Set<string>>();
  readonly #reported = new Map<string, Set<string>>();
  readonly #reports = new Map<string, Set<string>>();
  #writes = 0;

  /** Before the write. */
  sending(key: string, write: string): void {
    of(this.#sent, key).add(write);
  }

  confirmed(key: string, write: string): void {
    of(this.#confirmed, key).add(write);
    this.#writes += 1;
  }

  reported({ id, flow, key, local, remote }: Report): void {
    of(this.#reports, flow).add(id);
    for (const write of Object.keys({ ...local, ...remote })) of(this.#reported, key).add(write);
  }

  /** Different conflicts of a flow that were reported since the beginning. */
  reports(flow: string): number {
    return this.#reports.get(flow)?.size ?? 0;
  }

  get conflicts(): number {
    let sum = 0;
    for (const ids of this.#reports.values()) sum += ids.size;
    return sum;
  }

  get writes(): number {
    return this.#writes;
  }

  /** All keys begin anew with a value of one write; both sides have it. */
  begin(): void {
    for (const map of [this.#sent, this.#confirmed, this.#reported]) map.clear();
  }

  /** What is wrong with the value that both sides ended with. `mergeable`: no write may be missing, reported or not. */
  faults(key: string, value: Lineage, mergeable: boolean): readonly string[] {
    const held = new Set(Object.keys(value));
    const known = (write: string): boolean =>
      held.has(write) || (!mergeable && of(this.#reported, key).has(write));
    const gone = [...of(this.#confirmed, key)].filter((write) => !known(write));
    const invented = [...held].filter((write) => !of(this.#sent, key).has(write));
    return [
      ...(gone.length === 0
        ? []
        : [
            `${key}: ${gone.length} writes gone${mergeable ? '' : ' without a report'}: ${gone.slice(0, 8).join(' ')}`,
          ]),
      ...(invented.length === 0 ? [] : [`${key}: invented ${invented.slice(0, 8).join(' ')}`]),
    ];
  }
}

export const sameLineage = (a: Lineage | undefined, b: Lineage | undefined): boolean =>
  isDeepStrictEqual(a, b);

function of(map: Map<string, Set<string>>, key: string): Set<string> {
  const found = map.get(key) ?? new Set<string>();
  map.set(key, found);
  return found;
}

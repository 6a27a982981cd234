/** What clients tried, what was acknowledged to them, and what receivers got: the marks that the oracle judges by. */

import { momentsOf, type Place } from './places.ts';
import { RECORD, type TraceEvent } from './trace.ts';

/** `channel:key` grows through the numbers 1, 2, 3...; `off` takes something back (a delete, a clean disconnect). */
export interface Claim {
  readonly m: 'try' | 'ack' | 'got' | 'off' | 'life' | 'end';
  readonly key: string;
  readonly n: number;
  /** The try removes instead of sets. */
  readonly del?: boolean;
  /** Wall clock of a try, and the packet id it went under where it may have to go again. */
  readonly at?: number;
  readonly id?: number;
  readonly place?: Place;
}

export interface History {
  readonly key: string;
  /** Index of the event at which each number was tried, acknowledged, received, taken back; absent: never. */
  readonly tried: Map<number, number>;
  readonly acked: Map<number, number>;
  readonly got: Map<number, number>;
  readonly off: Map<number, number>;
  readonly deletes: Set<number>;
  /** Wall clock of each try, and its packet id. */
  readonly at: Map<number, number>;
  readonly ids: Map<number, number>;
}

/** The marks of a recording as one history per key. */
export function histories(events: readonly TraceEvent[]): ReadonlyMap<string, History> {
  const found = new Map<string, History>();
  const historyOf = (key: string): History => {
    let history = found.get(key);
    if (history === undefined) {
      history = {
        key,
        tried: new Map(),
        acked: new Map(),
        got: new Map(),
        off: new Map(),
        deletes: new Set(),
        at: new Map(),
        ids: new Map(),
      };
      found.set(key, history);
    }
    return history;
  };
  const acks: { readonly claim: Claim; readonly mark: number }[] = [];
  events.forEach((event, index) => {
    if (event.type !== RECORD.mark) return;
    const claim = JSON.parse(event.data.toString()) as Claim;
    if (claim.m === 'ack') acks.push({ claim, mark: index });
    if (claim.m === 'life' || claim.m === 'end' || claim.m === 'ack') return;
    const history = historyOf(claim.key);
    if (claim.m === 'try') {
      history.tried.set(claim.n, index);
      if (claim.del === true) history.deletes.add(claim.n);
      if (claim.at !== undefined) history.at.set(claim.n, claim.at);
      if (claim.id !== undefined) history.ids.set(claim.n, claim.id);
    } else if (claim.m === 'got' && !history.got.has(claim.n)) history.got.set(claim.n, index);
    else if (claim.m === 'off') history.off.set(claim.n, index);
  });
  const moments = momentsOf(
    events,
    acks.map(({ claim }) => claim.place as Place),
  );
  acks.forEach(({ claim, mark }, at) => {
    const moment = moments[at] as number;
    // Connections that the process never took from its backlog confuse the count; the mark came later and is true as well.
    historyOf(claim.key).acked.set(claim.n, moment < 0 || moment > mark ? mark : moment);
  });
  return found;
}

/** Numbers whose event lies before the cut. */
export function before(moments: ReadonlyMap<number, number>, cut: number): number[] {
  return [...moments].filter(([, at]) => at < cut).map(([n]) => n);
}

/** Wall clock of the first try after the cut: the cut was not later. */
export function latestTime(known: ReadonlyMap<string, History>, cut: number): number {
  let latest = Number.POSITIVE_INFINITY;
  for (const { tried, at } of known.values())
    for (const [n, index] of tried) if (index >= cut) latest = Math.min(latest, at.get(n) ?? latest);
  return latest;
}

export function largest(numbers: readonly number[]): number {
  return numbers.reduce((a, b) => Math.max(a, b), 0);
}

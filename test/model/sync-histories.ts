/**
 * Random histories of one to three nodes that keep keys in step with one store in the cloud, by the rules of
 * `building-blocks/sync`: apps write on every side, links and processes fail at every step, batches arrive although their
 * answers are lost. The store is as plain as Dapr's API: values with ETags, and transactions that check them.
 *
 * In the end, with the links up and everybody quiet, all sides must be equal, and no write may be gone unless somebody who
 * had seen it wrote over it, or a conflict that names it was reported.
 */

import { nextStamp, seenStamp } from '../../runtime/building-blocks/sync/hybrid-clock.ts';
import { type Base, type Conflict, review } from '../../runtime/building-blocks/sync/review.ts';
import type { ConflictRule } from '../../runtime/contracts/resource.ts';

type Text = string | undefined;

interface Stored {
  readonly text: Text;
  readonly etag: number;
  /** Known for writes of Syncs that share a journal. */
  readonly stamp: number | undefined;
}

interface Batch {
  readonly id: string;
  readonly texts: ReadonlyMap<string, { readonly text: Text; readonly stamp: number }>;
}

interface Edge {
  readonly name: string;
  /** How far its wall clock is off. */
  readonly skew: number;
  readonly local: Map<string, { readonly text: Text; readonly stamp: number; readonly version: number }>;
  readonly base: Map<string, Base>;
  last: number;
  versions: number;
  inDoubt: Batch | undefined;
  /** What it read from the cloud in this turn; gone with the process. */
  seen: { readonly head: number; readonly values: ReadonlyMap<string, Stored> } | undefined;
}

export interface History {
  readonly rule: ConflictRule;
  readonly writes: number;
  readonly conflicts: number;
  /** What is wrong; empty when all holds. */
  readonly faults: readonly string[];
}

const RULES: readonly ConflictRule[] = ['last-write', 'edge-wins', 'cloud-wins', 'merge', 'ask'];
const FIELDS = ['a', 'b', 'c'];
const NO_BASE: Base = { token: '', text: undefined };
const token = (text: Text): string => text ?? '';
const MAX_QUIET_ROUNDS = 40;

/** One history, all of whose choices come from `float`. */
export function runHistory(float: () => number): History {
  const pick = (below: number): number => Math.floor(float() * below);
  const rule = RULES[pick(RULES.length)] ?? 'last-write';
  const shared = float() < 0.5;
  const keys = ['k', 'l'].slice(0, 1 + pick(2));
  const cloud = new Map<string, Stored>();
  const applied: string[] = [];
  const placed = new Set<string>();
  const superseded = new Set<string>();
  const reported = new Set<string>();
  const faults: string[] = [];
  let etags = 0;
  let nowMs = 1_000_000;
  let writes = 0;
  let conflicts = 0;
  const edges: Edge[] = Array.from({ length: 1 + pick(3) }, (_, at) => ({
    name: `e${at}`,
    skew: pick(3) === 0 ? pick(2_000_000) - 1_000_000 : 0,
    local: new Map(),
    base: new Map(),
    last: 0,
    versions: 0,
    inDoubt: undefined,
    seen: undefined,
  }));

  /** The next value of a key whose writer sees `old`. */
  const written = (old: Text): Text => {
    writes += 1;
    const id = `w${writes}`;
    if (rule !== 'merge') {
      for (const gone of tokensIn(old)) superseded.add(gone);
      if (old !== undefined && pick(8) === 0) return undefined;
      placed.add(id);
      return JSON.stringify(id);
    }
    const fields: Record<string, string> = old === undefined ? {} : JSON.parse(old);
    if (old !== undefined && pick(12) === 0) {
      for (const gone of tokensIn(old)) superseded.add(gone);
      return undefined;
    }
    const field = FIELDS[pick(FIELDS.length)] ?? 'a';
    const before = fields[field];
    if (before !== undefined) superseded.add(before);
    if (before !== undefined && pick(6) === 0) delete fields[field];
    else {
      fields[field] = id;
      placed.add(id);
    }
    return JSON.stringify(Object.fromEntries(Object.entries(fields).sort(([a], [b]) => (a < b ? -1 : 1))));
  };
  const tick = (edge: Edge): number => {
    edge.last = nextStamp(edge.last, nowMs + edge.skew);
    return edge.last;
  };
  const put = (edge: Edge, key: string, text: Text, stamp: number): void => {
    edge.versions += 1;
    edge.local.set(key, { text, stamp, version: edge.versions });
  };
  const edgeWrites = (edge: Edge): void => {
    const key = keys[pick(keys.length)] ?? 'k';
    put(edge, key, written(edge.local.get(key)?.text), tick(edge));
  };
  const cloudWrites = (): void => {
    const key = keys[pick(keys.length)] ?? 'k';
    etags += 1;
    cloud.set(key, { text: written(cloud.get(key)?.text), etag: etags, stamp: undefined });
  };
  const tell = (conflict: Conflict, local: Text, remote: Text): void => {
    conflicts += 1;
    const add = (text: Text): void => {
      for (const lost of tokensIn(text)) reported.add(lost);
    };
    if (conflict.kept === 'merged') {
      for (const field of conflict.fields ?? []) {
        if (typeof field.local === 'string') reported.add(field.local);
        if (typeof field.remote === 'string') reported.add(field.remote);
      }
      return;
    }
    if (conflict.kept !== 'local') add(local);
    if (conflict.kept !== 'remote') add(remote);
  };

  const read = (edge: Edge): void => {
    edge.seen = { head: applied.length, values: new Map(cloud) };
  };
  /** Brings the local side onto what was read; everything of it is one local transaction. */
  const rebase = (edge: Edge): ReadonlyMap<string, number> => {
    const { values } = edge.seen ?? { values: new Map<string, Stored>() };
    const pushes = new Map<string, number>();
    const { inDoubt } = edge;
    if (inDoubt !== undefined && applied.slice(0, edge.seen?.head).includes(inDoubt.id)) {
      for (const [key, { text }] of inDoubt.texts) edge.base.set(key, { token: token(text), text });
    }
    edge.inDoubt = undefined;
    for (const key of keys) {
      const remote = values.get(key);
      if (remote?.stamp !== undefined) edge.last = seenStamp(edge.last, remote.stamp);
      const base = edge.base.get(key) ?? NO_BASE;
      const local = edge.local.get(key) ?? { text: undefined, stamp: 0 };
      const changed = token(remote?.text) !== base.token;
      const stamp = remote?.stamp ?? (changed ? tick(edge) : 0);
      const outcome = review({
        rule,
        base,
        local,
        remote: { text: remote?.text, stamp },
        token,
        now: tick(edge),
      });
      if (outcome.conflict !== undefined) tell(outcome.conflict, local.text, remote?.text);
      if (outcome.base !== undefined) edge.base.set(key, outcome.base);
      if (outcome.write !== undefined) put(edge, key, outcome.write.text, outcome.write.stamp);
      if (outcome.push) pushes.set(key, remote?.etag ?? 0);
    }
    return pushes;
  };
  /** The batch on its way: it may get lost, and so may the answer. */
  const push = (edge: Edge, pushes: ReadonlyMap<string, number>, faulty: boolean): void => {
    if (pushes.size === 0) return;
    const texts = new Map(
      [...pushes.keys()].map((key) => [key, edge.local.get(key) ?? { text: undefined, stamp: 0 }]),
    );
    const batch: Batch = { id: `${edge.name}-${edge.versions}-${etags}`, texts };
    edge.inDoubt = batch;
    if (faulty && pick(4) === 0) return;
    const head = edge.seen?.head;
    const fresh = [...pushes].every(([key, etag]) => (cloud.get(key)?.etag ?? 0) === etag);
    if (fresh && head === applied.length) {
      applied.push(batch.id);
      for (const [key, { text, stamp }] of texts) {
        etags += 1;
        cloud.set(key, { text, etag: etags, stamp: shared ? stamp : undefined });
      }
      if (faulty && pick(4) === 0) return;
      for (const [key, { text }] of texts) edge.base.set(key, { token: token(text), text });
    }
    edge.inDoubt = undefined;
  };
  const turn = (edge: Edge, faulty: boolean): void => {
    if (edge.seen === undefined) read(edge);
    else {
      push(edge, rebase(edge), faulty);
      edge.seen = undefined;
    }
  };

  const steps = 4 + pick(14);
  for (let step = 0; step < steps; step += 1) {
    nowMs += pick(1000);
    const edge = edges[pick(edges.length)] as Edge;
    const what = pick(10);
    if (what < 3) edgeWrites(edge);
    else if (what < 5) cloudWrites();
    else if (what < 9) turn(edge, true);
    else edge.seen = undefined; // The process was killed.
  }

  const equal = (): boolean =>
    edges.every((edge) => keys.every((key) => edge.local.get(key)?.text === cloud.get(key)?.text));
  let rounds = 0;
  for (; rounds < MAX_QUIET_ROUNDS; rounds += 1) {
    for (const edge of edges) {
      edge.seen = undefined;
      turn(edge, false);
      turn(edge, false);
    }
    if (equal() && edges.every(({ inDoubt }) => inDoubt === undefined)) break;
    if (rule === 'ask') {
      // People answer what they were asked.
      const edge = edges.find(({ base }) => [...base.values()].some(({ asked }) => asked !== undefined));
      const key = [...(edge?.base ?? [])].find(([, { asked }]) => asked !== undefined)?.[0];
      if (edge !== undefined && key !== undefined) {
        const answer = written(edge.local.get(key)?.text);
        put(edge, key, answer, tick(edge));
      }
    }
  }
  if (!equal()) faults.push(`the sides differ after ${rounds} quiet rounds`);
  const live = new Set(keys.flatMap((key) => tokensIn(cloud.get(key)?.text)));
  for (const id of placed) {
    if (!live.has(id) && !superseded.has(id) && !reported.has(id))
      faults.push(`${id} is lost without a report`);
  }
  return { rule, writes, conflicts, faults };
}

function tokensIn(text: Text): readonly string[] {
  if (text === undefined) return [];
  const value: unknown = JSON.parse(text);
  return typeof value === 'string' ? [value] : Object.values(value as Record<string, string>);
}

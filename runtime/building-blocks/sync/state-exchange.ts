/** One turn of a state flow: hear what changed over there, bring the local side onto it, send what changed here. */

import { BATCH_KEYS, type ExchangeParts, FRAME_BYTES, type Push, pushOf } from './exchange-parts.ts';
import { type Head, headOf, pageKey, pageOf, RING } from './remote-head.ts';
import { StatePush } from './state-push.ts';
import { rebase, type Seen } from './state-rebase.ts';
import { ANY } from './state-side.ts';

export interface TurnRequest {
  /** Ask for all that may have changed over there. */
  readonly pull: boolean;
  /** Also send what was refused before. */
  readonly again: boolean;
}

export interface TurnResult {
  /** There is more to do at once. */
  readonly more: boolean;
  /** The other side answered. */
  readonly contact: boolean;
}

interface Pending {
  /** Local keys. */
  readonly keys: readonly string[];
  readonly last: number;
  readonly more: boolean;
}

interface Heard {
  readonly stamps: ReadonlyMap<string, number>;
  readonly upTo: number;
  readonly more: boolean;
}

/** Entries of the local journal that one turn looks at. */
const LOOKED_AT = 400;

export class StateExchange {
  readonly #parts: ExchangeParts;
  readonly #push: StatePush;

  constructor(parts: ExchangeParts) {
    this.#parts = parts;
    this.#push = new StatePush(parts);
  }

  async turn({ pull, again }: TurnRequest, signal: AbortSignal): Promise<TurnResult> {
    const { record, spec } = this.#parts;
    const { inDoubt, sent, heard } = record.read();
    if (inDoubt !== undefined) {
      await this.#push.settle(inDoubt, signal);
      return { more: true, contact: true };
    }
    const pending = this.#pending(sent, again);
    if (!pull && pending.keys.length === 0) {
      if (pending.last > sent) await record.write([record.steps.sent(pending.last)]);
      return { more: pending.more, contact: false };
    }
    const looked = await this.#look(pull, pending.keys, heard, signal);
    const pushes =
      spec.direction === 'up'
        ? await this.#asTheyAre(pending.keys, signal)
        : await rebase(this.#parts, looked.keys, looked.seen, sent, signal);
    if (looked.heard.upTo > heard) await record.write([record.steps.heard(looked.heard.upTo)]);
    if (spec.direction !== 'down') await this.#push.push(pushes, looked.head, pending.last, signal);
    return { more: pending.more || looked.heard.more, contact: true };
  }

  /** Keys that changed here since the last batch, each once, at most a batch of them. */
  #pending(sent: number, again: boolean): Pending {
    const { journal, near, names, origin, record, spec } = this.#parts;
    if (spec.direction === 'down') return { keys: [], last: sent, more: false };
    const entries = journal.changes(sent, LOOKED_AT);
    const keys = new Set(again ? record.refused().map(({ key }) => key) : []);
    let last = sent;
    for (const entry of entries) {
      if (keys.size >= BATCH_KEYS) return { keys: [...keys], last, more: true };
      last = entry.sequence;
      const key = near.fromStored(entry.key);
      // The stored key may belong to another app with the same store.
      const ours = near.toStored(key) === entry.key && names.toRemote(key) !== undefined;
      if (ours && entry.origin !== origin) keys.add(key);
    }
    return { keys: [...keys], last, more: entries.length === LOOKED_AT };
  }

  /** Reads what this turn is about at the other side. */
  async #look(
    pull: boolean,
    pending: readonly string[],
    heardBefore: number,
    signal: AbortSignal,
  ): Promise<{
    readonly keys: readonly string[];
    readonly seen: Seen;
    readonly head: Head;
    readonly heard: Heard;
  }> {
    const { spec, far, headKey, names, carried } = this.#parts;
    const named = pull && spec.direction !== 'up' ? spec.keys.map(({ local }) => local) : [];
    const keys = new Set(spec.direction === 'both' ? [...named, ...pending] : named);
    const first = [...keys].map((key) => names.toRemote(key) ?? key);
    const values = new Map(await far.read([headKey, ...first], signal));
    const head = headOf(values.get(headKey));
    const heard = await this.#hear(head, heardBefore, signal);
    const read = new Set(first);
    const news = [...heard.stamps.keys()].filter((key) => !read.has(key));
    for (const [key, value] of await far.read(news, signal)) values.set(key, value);
    for (const remote of heard.stamps.keys()) keys.add(names.toLocal(remote) ?? remote);
    let bytes = 0;
    for (const value of values.values()) bytes += value.bytes.byteLength + FRAME_BYTES;
    carried('down', 0, bytes);
    return { keys: [...keys], seen: { values, stamps: heard.stamps }, head, heard };
  }

  /** Remote keys that others say they changed, with the times of their writes. */
  async #hear(head: Head, heard: number, signal: AbortSignal): Promise<Heard> {
    const { spec, far, headKey, names, note } = this.#parts;
    const stamps = new Map<string, number>();
    if (spec.journal === '' || spec.direction === 'up' || head.n <= heard)
      return { stamps, upTo: heard, more: false };
    const from = Math.max(heard, head.n - RING);
    if (from > heard && heard > 0)
      note(`the journal ${spec.journal} has gone over batches ${heard + 1} to ${from} unread`);
    const upTo = Math.min(head.n, from + BATCH_KEYS);
    const numbers = Array.from({ length: upTo - from }, (_, at) => from + at + 1);
    const pages = await far.read(
      numbers.map((n) => pageKey(headKey, n)),
      signal,
    );
    for (const n of numbers) {
      for (const [key, stamp] of pageOf(pages.get(pageKey(headKey, n)), n)?.changes ?? [])
        if (names.toLocal(key) !== undefined) stamps.set(key, stamp);
    }
    return { stamps, upTo, more: upTo < head.n };
  }

  /** Of a flow that only goes up: what is here replaces what is there. */
  async #asTheyAre(keys: readonly string[], signal: AbortSignal): Promise<readonly Push[]> {
    const { near, names, journal, passes } = this.#parts;
    const values = await near.read(keys, signal);
    const stamps = new Map(journal.find(keys.map(near.toStored)).map(({ key, stamp }) => [key, stamp]));
    return keys
      .filter((key) => passes(key, values.get(key)))
      .map((key) => {
        const stamp = stamps.get(near.toStored(key)) ?? 0;
        return pushOf(key, names.toRemote(key) ?? key, values.get(key), ANY, stamp);
      });
  }
}

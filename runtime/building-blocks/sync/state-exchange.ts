/**
 * One turn of a state flow: hear what changed over there, bring the local side onto it, send what changed here.
 *
 * Invariants: what a turn decides about local values and what it remembers about them is one local transaction; a batch
 * goes over only onto the versions that were looked at, in one remote transaction with the head; before it goes its id is
 * on the local disk, so that after a lost answer or a power cut the head tells whether it arrived.
 */

import type { Clock } from '../../contracts/clock.ts';
import type { SqlStep } from '../../contracts/database.ts';
import { errorText } from '../../contracts/error.ts';
import type { Ids } from '../../contracts/ids.ts';
import type { StateFlowSpec } from '../../contracts/resource.ts';
import { EtagError, type StateJournal, type StateOperation } from '../../contracts/state-store.ts';
import { type ConflictFacts, conflictEvent } from './conflict-event.ts';
import { isOutage } from './failures.ts';
import type { FlowRecord, InDoubt } from './flow-record.ts';
import type { Limiter } from './limits.ts';
import { type Head, headBytes, headOf, pageBytes, pageKey, pageOf, RING } from './remote-head.ts';
import { type Base, type Review, review } from './review.ts';
import { ANY, type SideRecord, type StateSide, tokenOf } from './state-side.ts';
import type { KeyNames } from './synced-keys.ts';

export interface ExchangeParts {
  readonly spec: StateFlowSpec;
  /** Who applies what comes down: unique in the node. */
  readonly origin: string;
  readonly headKey: string;
  readonly names: KeyNames;
  readonly near: StateSide;
  readonly far: StateSide;
  readonly journal: StateJournal;
  readonly record: FlowRecord;
  readonly limiter: Limiter;
  readonly ids: Ids;
  readonly clock: Clock;
  /** Whether the filter lets this value travel. */
  readonly passes: (key: string, value: SideRecord | undefined) => boolean;
  /** One batch at a time over the link. */
  readonly inTurn: <T>(work: () => Promise<T>) => Promise<T>;
  readonly carried: (way: 'up' | 'down', messages: number, bytes: number) => void;
  readonly conflict: (facts: ConflictFacts) => void;
  readonly note: (text: string) => void;
}

export interface TurnRequest {
  /** Ask for all that may have changed over there. */
  readonly pull: boolean;
  /** Also send what was refused before. */
  readonly again: boolean;
}

interface Pending {
  /** Local keys. */
  readonly keys: readonly string[];
  readonly last: number;
  readonly more: boolean;
}

interface Push {
  readonly key: string;
  readonly remoteKey: string;
  readonly bytes: Uint8Array | undefined;
  readonly text: string | undefined;
  readonly etag: string | undefined | typeof ANY;
  readonly stamp: number;
  readonly expires: string | undefined;
}

const BATCH_KEYS = 100;
const BATCH_BYTES = 512 * 1024;
const LOOKED_AT = 400;
const NO_BASE: Base = { token: '' };
/** What a request costs besides keys and values, roughly. */
const FRAME_BYTES = 64;
const DAY_STAMPS = 24 * 3_600_000 * 1024;

export class StateExchange {
  readonly #parts: ExchangeParts;

  constructor(parts: ExchangeParts) {
    this.#parts = parts;
  }

  /** True when there is more to do at once. */
  async turn(request: TurnRequest, signal: AbortSignal): Promise<boolean> {
    const { record, far, spec, headKey, names } = this.#parts;
    const before = record.read();
    if (before.inDoubt !== undefined) {
      await this.#settle(before.inDoubt, signal);
      return true;
    }
    const pending = this.#pending(before.sent, request.again);
    if (!request.pull && pending.keys.length === 0) {
      if (pending.last > before.sent) await record.write([record.steps.sent(pending.last)]);
      return pending.more;
    }
    const wanted = new Set(
      request.pull && spec.direction !== 'up' ? spec.keys.map(({ local }) => local) : [],
    );
    if (spec.direction === 'both') for (const key of pending.keys) wanted.add(key);
    const remoteKeys = [...wanted].map((key) => names.toRemote(key) ?? key);
    const seen = new Map(await far.read([headKey, ...remoteKeys], signal));
    const head = headOf(seen.get(headKey));
    const heard = await this.#hear(head, before.heard, signal);
    const news = [...heard.stamps.keys()].filter((key) => !seen.has(key) && !remoteKeys.includes(key));
    for (const [key, value] of await far.read(news, signal)) seen.set(key, value);
    for (const remote of heard.stamps.keys()) {
      const local = names.toLocal(remote);
      if (local !== undefined) wanted.add(local);
    }
    let down = 0;
    for (const value of seen.values()) down += value.bytes.byteLength + FRAME_BYTES;
    this.#parts.carried('down', 0, down);

    const pushes =
      spec.direction === 'up'
        ? await this.#asTheyAre(pending.keys, signal)
        : await this.#rebase([...wanted], seen, heard.stamps, before.sent, signal);
    const last = Math.max(pending.last, before.sent);
    if (heard.upTo > before.heard) await record.write([record.steps.heard(heard.upTo)]);
    if (spec.direction !== 'down') await this.#push(pushes, head, last, signal);
    return pending.more || heard.more;
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
      if (entry.origin === origin || near.toStored(key) !== entry.key || names.toRemote(key) === undefined)
        continue;
      keys.add(key);
    }
    return { keys: [...keys], last, more: entries.length === LOOKED_AT };
  }

  /** Whether the batch arrived whose answer was lost. */
  async #settle(doubt: InDoubt, signal: AbortSignal): Promise<void> {
    const { far, headKey, spec, record } = this.#parts;
    const at = pageKey(headKey, doubt.n);
    const seen = await far.read(spec.journal === '' ? [headKey] : [headKey, at], signal);
    const arrived =
      headOf(seen.get(headKey)).batch === doubt.batch || pageOf(seen.get(at), doubt.n)?.batch === doubt.batch;
    await record.write([...(arrived ? this.#arrived(doubt) : []), record.steps.inDoubt(undefined)]);
  }

  #arrived(doubt: InDoubt): readonly SqlStep[] {
    const { record, spec } = this.#parts;
    const keys = doubt.items.map(({ key }) => key);
    const bases =
      spec.direction === 'up' ? [] : doubt.items.map(({ key, ...base }) => record.steps.base(key, base));
    // What we wrote ourselves is no news.
    const heard = record.read().heard === doubt.n - 1 ? [record.steps.heard(doubt.n)] : [];
    return [...bases, ...heard, record.steps.accept(keys), record.steps.sent(doubt.sent)];
  }

  /** Remote keys that others say they changed, with the times of their writes. */
  async #hear(
    head: Head,
    heard: number,
    signal: AbortSignal,
  ): Promise<{
    readonly stamps: ReadonlyMap<string, number>;
    readonly upTo: number;
    readonly more: boolean;
  }> {
    const { spec, far, headKey, names } = this.#parts;
    const stamps = new Map<string, number>();
    if (spec.journal === '' || spec.direction === 'up' || head.n <= heard)
      return { stamps, upTo: heard, more: false };
    const from = Math.max(heard, head.n - RING);
    if (from > heard && heard > 0)
      this.#parts.note(`the journal ${spec.journal} has gone over batches ${heard + 1} to ${from} unread`);
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
    const { near, names, journal } = this.#parts;
    const values = await near.read(keys, signal);
    const stamps = new Map(journal.find(keys.map(near.toStored)).map(({ key, stamp }) => [key, stamp]));
    return keys.flatMap((key) => {
      const value = values.get(key);
      if (!this.#parts.passes(key, value)) return [];
      const stamp = stamps.get(near.toStored(key)) ?? 0;
      return [pushOf(key, names.toRemote(key) ?? key, value, ANY, stamp)];
    });
  }

  /** Brings the local side onto the remote one; what is to be sent after that. */
  async #rebase(
    keys: readonly string[],
    seen: ReadonlyMap<string, SideRecord>,
    stamps: ReadonlyMap<string, number>,
    sent: number,
    signal: AbortSignal,
  ): Promise<readonly Push[]> {
    const { near, journal, record, names, spec, origin, clock } = this.#parts;
    const pushes: Push[] = [];
    for (let from = 0; from < keys.length; from += BATCH_KEYS) {
      const chunk = keys.slice(from, from + BATCH_KEYS);
      const values = await near.read(chunk, signal);
      const bases = record.bases(chunk);
      const noted = new Map(journal.find(chunk.map(near.toStored)).map((entry) => [entry.key, entry]));
      const operations: { operation: StateOperation; stamp: number }[] = [];
      const steps: SqlStep[] = [];
      const told: ConflictFacts[] = [];
      for (const key of chunk) {
        const local = values.get(key);
        const remoteKey = names.toRemote(key) ?? key;
        const remote = seen.get(remoteKey);
        const entry = noted.get(near.toStored(key));
        let base = bases.get(key) ?? NO_BASE;
        const expired =
          local === undefined &&
          base.token !== '' &&
          (spec.direction === 'down' ? spec.ttlMs > 0 : (entry?.sequence ?? 0) <= sent);
        if (expired && tokenOf(remote?.text) === base.token) continue;
        if (expired) base = NO_BASE;
        const outcome = this.#review(base, local, remote, entry?.stamp ?? 0, stamps.get(remoteKey));
        if (outcome.write !== undefined && !this.#parts.passes(key, remote)) continue;
        if (outcome.conflict !== undefined)
          told.push({ key, remoteKey, local, remote, conflict: outcome.conflict, rule: this.#rule });
        if (outcome.base !== undefined) steps.push(record.steps.base(key, this.#kept(outcome.base)));
        if (outcome.write !== undefined) {
          const bytes = bytesOf(outcome.write.text, remote);
          const ttl = ttlMetadata(spec.ttlMs, undefined, clock.now());
          operations.push({
            operation: near.operation(key, bytes, local?.etag, ttl),
            stamp: outcome.write.stamp,
          });
        }
        if (!outcome.push) continue;
        const value = outcome.write === undefined ? local : merged(outcome.write.text);
        if (this.#parts.passes(key, value))
          pushes.push(pushOf(key, remoteKey, value, remote?.etag, entry?.stamp ?? 0));
      }
      const events = told.map((facts) => conflictEvent(facts, origin));
      if (operations.length + steps.length + events.length === 0) continue;
      await journal.apply(operations, origin, [...steps, ...events.flatMap(record.steps.conflict)]);
      this.#parts.carried('down', operations.length, 0);
      for (const facts of told) this.#parts.conflict(facts);
    }
    return pushes;
  }

  get #rule() {
    return this.#parts.spec.direction === 'down' ? 'cloud-wins' : this.#parts.spec.conflict;
  }

  #review(
    base: Base,
    local: SideRecord | undefined,
    remote: SideRecord | undefined,
    localStamp: number,
    told: number | undefined,
  ): Review {
    const now = this.#parts.journal.now();
    // Nobody says when a cloud app wrote: its write counts from when it was first seen here. A clock far ahead of ours
    // must not carry ours away.
    const stamp = Math.min(told ?? now, now + DAY_STAMPS);
    return review({
      rule: this.#rule,
      base,
      local: { text: local?.text, stamp: localStamp },
      remote: { text: remote?.text, stamp },
      token: tokenOf,
      now,
    });
  }

  /** The text is kept where a merge needs it. */
  #kept(base: Base): Base {
    if (this.#rule === 'merge') return base;
    const { text: _text, ...rest } = base;
    return rest;
  }

  async #push(pushes: readonly Push[], head: Head, last: number, signal: AbortSignal): Promise<void> {
    const { record } = this.#parts;
    // A deletion of what is not there has nothing to send.
    const going = pushes.filter(({ bytes, etag }) => bytes !== undefined || etag !== undefined);
    if (going.length === 0) {
      if (last > record.read().sent) await record.write([record.steps.sent(last)]);
      return;
    }
    const groups = grouped(going, await this.#most());
    let at = head;
    for (const [index, group] of groups.entries()) {
      const upTo = index === groups.length - 1 ? last : record.read().sent;
      try {
        await this.#send(group, at, upTo, signal);
        // The next group needs the head's new version.
        if (index < groups.length - 1) at = await this.#head(signal);
      } catch (error) {
        if (error instanceof EtagError || isOutage(error) || signal.aborted || going.length === 1)
          throw error;
        await this.#oneByOne(groups.slice(index).flat(), last, error, signal);
        return;
      }
    }
  }

  async #head(signal: AbortSignal): Promise<Head> {
    const { far, headKey } = this.#parts;
    return headOf((await far.read([headKey], signal)).get(headKey));
  }

  async #most(): Promise<number> {
    const limit = await this.#parts.far.component.instance.maxTransactionOperations;
    return limit === undefined || limit <= 2 ? BATCH_KEYS : Math.min(BATCH_KEYS, limit - 2);
  }

  async #send(items: readonly Push[], head: Head, last: number, signal: AbortSignal): Promise<void> {
    const { far, spec, headKey, record, limiter, ids, clock } = this.#parts;
    const { instance } = far.component;
    if (instance.transact === undefined)
      throw new Error(`state store ${spec.remote} has no transactions, which sync needs`);
    const bytes = items.reduce(
      (sum, { bytes, remoteKey }) => sum + (bytes?.byteLength ?? 0) + remoteKey.length + FRAME_BYTES,
      0,
    );
    await limiter.take(items.length, bytes, signal);
    const batch = ids.uuid();
    const n = head.n + 1;
    const keepText = this.#rule === 'merge';
    const doubt: InDoubt = {
      batch,
      n,
      sent: last,
      items: items.map(({ key, text }) => ({
        key,
        token: tokenOf(text),
        ...(keepText && text !== undefined ? { text } : {}),
      })),
    };
    await record.write([record.steps.inDoubt(doubt)]);
    const operations = [
      ...items.map((item) =>
        far.operation(
          item.remoteKey,
          item.bytes,
          item.etag,
          ttlMetadata(spec.ttlMs, item.expires, clock.now()),
        ),
      ),
      far.operation(headKey, headBytes(n, batch), head.etag),
      ...(spec.journal === ''
        ? []
        : [
            far.operation(
              pageKey(headKey, n),
              pageBytes({ n, batch, changes: items.map(({ remoteKey, stamp }) => [remoteKey, stamp]) }),
              ANY,
            ),
          ]),
    ];
    await this.#parts.inTurn(async () => instance.transact?.(operations, {}, signal));
    await record.write([...this.#arrived(doubt), record.steps.inDoubt(undefined)]);
    this.#parts.carried('up', items.length, bytes);
  }

  /** The batch was refused: which of them is at fault shows one by one. All of them: then it is none of theirs. */
  async #oneByOne(items: readonly Push[], last: number, cause: unknown, signal: AbortSignal): Promise<void> {
    const { record } = this.#parts;
    const refused: SqlStep[] = [];
    let taken = 0;
    for (const item of items) {
      try {
        await this.#send([item], await this.#head(signal), record.read().sent, signal);
        taken += 1;
      } catch (error) {
        if (error instanceof EtagError || isOutage(error) || signal.aborted) throw error;
        this.#parts.note(`key ${item.key} is refused and set aside: ${errorText(error)}`);
        refused.push(record.steps.refuse(item.key, errorText(error)));
      }
    }
    if (taken === 0) throw cause;
    await record.write([...refused, record.steps.inDoubt(undefined), record.steps.sent(last)]);
  }
}

function pushOf(
  key: string,
  remoteKey: string,
  value: (Pick<SideRecord, 'bytes' | 'text'> & Partial<SideRecord>) | undefined,
  etag: Push['etag'],
  stamp: number,
): Push {
  return { key, remoteKey, bytes: value?.bytes, text: value?.text, etag, stamp, expires: value?.expires };
}

const merged = (text: string | undefined): SideRecord | undefined =>
  text === undefined ? undefined : { bytes: Buffer.from(text), text, etag: undefined, expires: undefined };

/** The value as the other side wrote it where it is that one; else the text of the merge. */
function bytesOf(text: string | undefined, remote: SideRecord | undefined): Uint8Array | undefined {
  if (text === undefined) return undefined;
  return remote?.text === text ? remote.bytes : Buffer.from(text);
}

/** The shorter of the flow's time to live and what is left of the value's own. */
function ttlMetadata(
  ttlMs: number,
  expires: string | undefined,
  nowMs: number,
): Readonly<Record<string, string>> {
  const left =
    expires === undefined
      ? Number.POSITIVE_INFINITY
      : Temporal.Instant.from(expires).epochMilliseconds - nowMs;
  const shorter = Math.min(ttlMs === 0 ? Number.POSITIVE_INFINITY : ttlMs, left);
  return Number.isFinite(shorter) ? { ttlInSeconds: String(Math.max(1, Math.ceil(shorter / 1000))) } : {};
}

/** Groups of at most `most` items and about `BATCH_BYTES`. */
function grouped(items: readonly Push[], most: number): readonly (readonly Push[])[] {
  const groups: Push[][] = [];
  let bytes = 0;
  for (const item of items) {
    const size = item.bytes?.byteLength ?? 0;
    const current = groups.at(-1);
    if (current === undefined || current.length >= most || bytes + size > BATCH_BYTES) {
      groups.push([item]);
      bytes = size;
    } else {
      current.push(item);
      bytes += size;
    }
  }
  return groups;
}

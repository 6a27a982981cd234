/**
 * Brings the local side of a state flow onto what was read from the other one. What is decided about a value and what is
 * remembered about it are one local transaction, which an app's write in between refuses as a whole.
 */

import type { SqlStep } from '../../contracts/database.ts';
import type { JournalEntry, StateOperation } from '../../contracts/state-store.ts';
import { type ConflictFacts, conflictEvent } from './conflict-event.ts';
import { BATCH_KEYS, type ExchangeParts, type Push, pushOf, ruleOf, ttlMetadata } from './exchange-parts.ts';
import { type Base, type Review, review } from './review.ts';
import { type SideRecord, tokenOf } from './state-side.ts';

/** What is known of the other side. */
export interface Seen {
  readonly values: ReadonlyMap<string, SideRecord>;
  /** Times of writes that other Syncs told, by remote key. */
  readonly stamps: ReadonlyMap<string, number>;
}

const NO_BASE: Base = { token: '' };
const DAY_STAMPS = 24 * 3_600_000 * 1024;

/** One key, from both sides. */
interface Looked {
  readonly key: string;
  readonly remoteKey: string;
  readonly local: SideRecord | undefined;
  readonly remote: SideRecord | undefined;
  readonly entry: JournalEntry | undefined;
}

/** What a chunk comes to. */
interface Outcome {
  readonly operations: { readonly operation: StateOperation; readonly stamp: number }[];
  readonly steps: SqlStep[];
  readonly told: ConflictFacts[];
  readonly pushes: Push[];
}

/** What is to be sent after that. `sent`: the local changes up to there went over before. */
export async function rebase(
  parts: ExchangeParts,
  keys: readonly string[],
  seen: Seen,
  sent: number,
  signal: AbortSignal,
): Promise<readonly Push[]> {
  const { near, journal, record, names, origin } = parts;
  const pushes: Push[] = [];
  for (let from = 0; from < keys.length; from += BATCH_KEYS) {
    const chunk = keys.slice(from, from + BATCH_KEYS);
    const values = await near.read(chunk, signal);
    const bases = record.bases(chunk);
    const noted = new Map(journal.find(chunk.map(near.toStored)).map((entry) => [entry.key, entry]));
    const outcome: Outcome = { operations: [], steps: [], told: [], pushes };
    for (const key of chunk) {
      const remoteKey = names.toRemote(key) ?? key;
      const looked: Looked = {
        key,
        remoteKey,
        local: values.get(key),
        remote: seen.values.get(remoteKey),
        entry: noted.get(near.toStored(key)),
      };
      const base = baseFor(parts, looked, bases.get(key) ?? NO_BASE, sent);
      if (base !== undefined) decide(parts, looked, base, seen, outcome);
    }
    await commit(parts, origin, outcome);
  }
  return pushes;
}

/** `undefined`: nothing is to be done. A local value that ended by itself is no change of ours. */
function baseFor(
  { spec }: ExchangeParts,
  { local, remote, entry }: Looked,
  base: Base,
  sent: number,
): Base | undefined {
  if (local !== undefined || base.token === '') return base;
  const expired = spec.direction === 'down' ? spec.ttlMs > 0 : (entry?.sequence ?? 0) <= sent;
  if (!expired) return base;
  return tokenOf(remote?.text) === base.token ? undefined : NO_BASE;
}

function decide(parts: ExchangeParts, looked: Looked, base: Base, seen: Seen, into: Outcome): void {
  const { near, record, spec, clock } = parts;
  const { key, remoteKey, local, remote, entry } = looked;
  const rule = ruleOf(spec);
  const { write, conflict, push, ...outcome } = reviewed(parts, looked, base, seen.stamps.get(remoteKey));
  if (write !== undefined && !parts.passes(key, remote)) return;
  if (conflict !== undefined) into.told.push({ key, remoteKey, local, remote, conflict, rule });
  if (outcome.base !== undefined) {
    // The text is kept where a merge needs it.
    const { text: _text, ...short } = outcome.base;
    into.steps.push(record.steps.base(key, rule === 'merge' ? outcome.base : short));
  }
  let value = local;
  if (write !== undefined) {
    // As the other side wrote it, where it is that one and no merge.
    value = write.text === remote?.text ? remote : ofText(write.text);
    const ttl = ttlMetadata(spec.ttlMs, undefined, clock.now());
    const operation = near.operation(key, value?.bytes, local?.etag, ttl);
    into.operations.push({ operation, stamp: write.stamp });
  }
  if (push && parts.passes(key, value))
    into.pushes.push(pushOf(key, remoteKey, value, remote?.etag, entry?.stamp ?? 0));
}

function reviewed(
  { spec, journal }: ExchangeParts,
  { local, remote, entry }: Looked,
  base: Base,
  told: number | undefined,
): Review {
  const now = journal.now();
  // Nobody says when a cloud app wrote: its write counts from when it was first seen here. A clock far ahead of ours
  // must not carry ours away.
  const stamp = Math.min(told ?? now, now + DAY_STAMPS);
  return review({
    rule: ruleOf(spec),
    base,
    local: { text: local?.text, stamp: entry?.stamp ?? 0 },
    remote: { text: remote?.text, stamp },
    token: tokenOf,
    now,
  });
}

async function commit(
  { journal, record, carried, conflict }: ExchangeParts,
  origin: string,
  { operations, steps, told }: Outcome,
): Promise<void> {
  if (operations.length + steps.length + told.length === 0) return;
  const events = told.flatMap((facts) => record.steps.conflict(conflictEvent(facts, origin)));
  await journal.apply(operations, origin, [...steps, ...events]);
  carried('down', operations.length, 0);
  for (const facts of told) conflict(facts);
}

const ofText = (text: string | undefined): SideRecord | undefined =>
  text === undefined ? undefined : { bytes: Buffer.from(text), text, etag: undefined, expires: undefined };

/**
 * Sends the changes of a state flow. A batch goes over only onto the versions that were looked at, in one remote
 * transaction with the head; before it goes, its id is on the local disk, so that after a lost answer or a power cut the
 * head tells whether it arrived. A change that the other side refuses by itself is set aside, so that it holds up nothing.
 */

import type { SqlStep } from '../../contracts/database.ts';
import { errorText } from '../../contracts/error.ts';
import { EtagError, type StateOperation } from '../../contracts/state-store.ts';
import {
  BATCH_KEYS,
  type ExchangeParts,
  FRAME_BYTES,
  type Push,
  ruleOf,
  ttlMetadata,
} from './exchange-parts.ts';
import { isOutage } from './failures.ts';
import type { InDoubt } from './flow-record.ts';
import { type Head, headBytes, headOf, pageBytes, pageKey, pageOf } from './remote-head.ts';
import { ANY, tokenOf } from './state-side.ts';

const BATCH_BYTES = 512 * 1024;
/** Of a transaction: the head and the journal's page. */
const OWN_OPERATIONS = 2;

export class StatePush {
  readonly #parts: ExchangeParts;

  constructor(parts: ExchangeParts) {
    this.#parts = parts;
  }

  /** Sends all; local changes up to `last` went over then. */
  async push(pushes: readonly Push[], head: Head, last: number, signal: AbortSignal): Promise<void> {
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
      const isLast = index === groups.length - 1;
      try {
        await this.#send(group, at, isLast ? last : record.read().sent, signal);
        // The next group needs the head's new version.
        if (!isLast) at = await this.#head(signal);
      } catch (error) {
        if (going.length === 1 || !isRefusal(error, signal)) throw error;
        await this.#oneByOne(groups.slice(index).flat(), last, error, signal);
        return;
      }
    }
  }

  /** Whether the batch arrived whose answer was lost. */
  async settle(doubt: InDoubt, signal: AbortSignal): Promise<void> {
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

  async #head(signal: AbortSignal): Promise<Head> {
    const { far, headKey } = this.#parts;
    return headOf((await far.read([headKey], signal)).get(headKey));
  }

  async #most(): Promise<number> {
    const limit = await this.#parts.far.component.instance.maxTransactionOperations;
    if (limit === undefined || limit <= OWN_OPERATIONS) return BATCH_KEYS;
    return Math.min(BATCH_KEYS, limit - OWN_OPERATIONS);
  }

  async #send(items: readonly Push[], head: Head, last: number, signal: AbortSignal): Promise<void> {
    const { far, spec, record, limiter, ids } = this.#parts;
    const { instance } = far.component;
    if (instance.transact === undefined)
      throw new Error(`state store ${spec.remote} has no transactions, which sync needs`);
    const bytes = items.reduce((sum, item) => sum + sizeOf(item) + item.remoteKey.length + FRAME_BYTES, 0);
    await limiter.take(items.length, bytes, signal);
    const keepText = ruleOf(spec) === 'merge';
    const doubt: InDoubt = {
      batch: ids.uuid(),
      n: head.n + 1,
      sent: last,
      items: items.map(({ key, text }) => ({
        key,
        token: tokenOf(text),
        ...(keepText && text !== undefined ? { text } : {}),
      })),
    };
    const operations = this.#operations(items, head, doubt);
    await record.write([record.steps.inDoubt(doubt)]);
    await this.#parts.inTurn(async () => instance.transact?.(operations, {}, signal));
    await record.write([...this.#arrived(doubt), record.steps.inDoubt(undefined)]);
    this.#parts.carried('up', items.length, bytes);
  }

  #operations(items: readonly Push[], head: Head, { n, batch }: InDoubt): readonly StateOperation[] {
    const { far, spec, headKey, clock } = this.#parts;
    const changes = items.map(({ remoteKey, stamp }): [string, number] => [remoteKey, stamp]);
    return [
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
        : [far.operation(pageKey(headKey, n), pageBytes({ n, batch, changes }), ANY)]),
    ];
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
        if (!isRefusal(error, signal)) throw error;
        this.#parts.note(`key ${item.key} is refused and set aside: ${errorText(error)}`);
        refused.push(record.steps.refuse(item.key, errorText(error)));
      }
    }
    if (taken === 0) throw cause;
    await record.write([...refused, record.steps.inDoubt(undefined), record.steps.sent(last)]);
  }
}

/** The other side said no, as opposed to a race with another writer or a broken link. */
function isRefusal(error: unknown, signal: AbortSignal): boolean {
  return !(error instanceof EtagError) && !isOutage(error) && !signal.aborted;
}

const sizeOf = ({ bytes }: Push): number => bytes?.byteLength ?? 0;

/** Groups of at most `most` items and about `BATCH_BYTES`. */
function grouped(items: readonly Push[], most: number): readonly (readonly Push[])[] {
  const groups: Push[][] = [];
  let bytes = 0;
  for (const item of items) {
    const current = groups.at(-1);
    if (current === undefined || current.length >= most || bytes + sizeOf(item) > BATCH_BYTES) {
      groups.push([item]);
      bytes = sizeOf(item);
    } else {
      current.push(item);
      bytes += sizeOf(item);
    }
  }
  return groups;
}

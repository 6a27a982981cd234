/**
 * Brings queued changes to the far side in their order. What has no condition goes many changes at a time, in one
 * transaction over there; only the last value of a key travels. A change with a condition goes alone: where the far ETag is
 * not known, the value that the app saw must still be there, and its ETag is demanded. A refused change is given to
 * `refuse` and the keys get the value of the far side, unless a later change of them waits.
 *
 * A request may arrive twice, or late: every transaction moves this node's cursor over there (`far-cursor.ts`), and one that
 * does not start where the cursor stands changes nothing. At a far store without transactions changes go one by one and
 * nothing but their order protects them.
 */

import type { Timer } from '../../../runtime/contracts/clock.ts';
import type { ComponentDeps } from '../../../runtime/contracts/component.ts';
import type { Database } from '../../../runtime/contracts/database.ts';
import { errorText } from '../../../runtime/contracts/error.ts';
import { EtagError, type StateRecord, type StateStore } from '../../../runtime/contracts/state-store.ts';
import type { FarLink } from '../../drivers/dapr-api/far-link.ts';
import { FarSidecarError } from '../../drivers/dapr-api/far-sidecar.ts';
import { type CursorState, moveCursor, readCursor } from './far-cursor.ts';
import { adoptSteps, LOCAL_SQL, settleSteps } from './local-tables.ts';
import {
  isConditional,
  type Queued,
  type QueuedChange,
  sameValue,
  textOf,
  toOperation,
} from './queued-change.ts';
import type { RefusedChange } from './refused-changes.ts';

export interface WriteBehindOptions {
  readonly remote: StateStore;
  readonly link: FarLink;
  readonly owner: string;
  /** Key of this node's cursor over there. */
  readonly cursor: string;
  readonly database: Database;
  readonly deps: Pick<ComponentDeps, 'clock' | 'random' | 'ids' | 'log' | 'componentName'>;
  /** Keeps a change that the far side refused where people see it; resolves when that is on disk. */
  readonly refuse: (refusal: RefusedChange) => Promise<void>;
  /** Changes left the queue. */
  readonly settled: (changes: number) => void;
}

const MAX_CHANGES = 100;
const MAX_BATCH_CHARACTERS = 512 * 1024;
const FIRST_WAIT_MS = 250;
const LONGEST_WAIT_MS = 30_000;
/** Answers that no repetition changes. */
const REFUSALS = new Set([400, 413, 415, 422]);
const NOT_SET_UP = /_NOT_(?:CONFIGURED|FOUND)$/;
const NO_TRANSACTIONS = /NOT_SUPPORT/;

type Values = ReadonlyMap<string, StateRecord | undefined>;
type Operations = QueuedChange['operations'];

const NO_VALUES: Values = new Map();
const NO_ETAGS: ReadonlyMap<string, string> = new Map();

export class WriteBehind {
  readonly #options: WriteBehindOptions;
  readonly #closing = new AbortController();
  #running: Promise<void> | undefined;
  #again = false;
  #failures = 0;
  #pause: { readonly timer: Timer; readonly over: () => void } | undefined;
  /** So many changes go one by one: one among them was refused. */
  #single = 0;
  #transactions: boolean;

  constructor(options: WriteBehindOptions) {
    this.#options = options;
    this.#transactions = options.remote.transact !== undefined;
  }

  /** There is something in the queue. */
  wake(): void {
    this.#again = true;
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
      // It may have come between the last look and this moment.
      if (this.#again && !this.#closing.signal.aborted) this.wake();
    });
  }

  /** The link is back: a pause ends now. */
  linkBack(): void {
    this.#failures = Math.min(this.#failures, 1);
    this.#pause?.timer.cancel();
    this.#pause?.over();
  }

  /** The change under way is given up; it stays in the queue. */
  async close(): Promise<void> {
    this.#closing.abort(new Error('the component is closing'));
    this.linkBack();
    await this.#running;
  }

  async #run(): Promise<void> {
    while (this.#again && !this.#closing.signal.aborted) {
      this.#again = false;
      try {
        while (await this.#step()) this.#recovered();
      } catch (error) {
        this.#again = true;
        await this.#failed(error);
      }
    }
  }

  #recovered(): void {
    const { log, componentName } = this.#options.deps;
    if (this.#failures > 0) log.info(`${componentName}: changes of state reach the far side again`);
    this.#failures = 0;
  }

  async #failed(error: unknown): Promise<void> {
    if (this.#closing.signal.aborted) return;
    const { log, componentName, clock, random } = this.#options.deps;
    if (this.#failures === 0) log.warn(`${componentName}: changes of state wait: ${errorText(error)}`);
    const ceiling = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** Math.min(this.#failures, 10));
    this.#failures += 1;
    await new Promise<void>((over) => {
      this.#pause = { timer: clock.startTimer(random.float() * ceiling, over, true), over };
    });
    this.#pause = undefined;
  }

  /** Brings the next changes over; false when there are none. */
  async #step(): Promise<boolean> {
    const waiting = this.#waiting();
    const [first] = waiting;
    if (first === undefined || this.#closing.signal.aborted) return false;
    const from = this.#transactions ? await this.#cursor() : undefined;
    const there = from === undefined ? -1 : waiting.findIndex(({ id }) => id === from.changeId);
    if (there >= 0) {
      // The answer was lost.
      await this.#settle(waiting.slice(0, there + 1), NO_VALUES);
      return true;
    }
    const batch = this.#batchOf(waiting);
    try {
      if (isConditional(first)) await this.#sendConditional(first, from);
      else {
        await this.#send(lastOf(batch), NO_ETAGS, batch.at(-1) ?? first, from);
        await this.#settle(batch, NO_VALUES);
      }
      this.#single = Math.max(0, this.#single - 1);
    } catch (error) {
      await this.#refused(batch, first, error);
    }
    return true;
  }

  #waiting(): readonly Queued[] {
    const { database, owner } = this.#options;
    return database.read(LOCAL_SQL.next, [owner, MAX_CHANGES]).map((row) => ({
      ...(JSON.parse(String(row['change'])) as QueuedChange),
      sequence: Number(row['sequence']),
      characters: Number(row['bytes']),
    }));
  }

  /** What goes together: as far as nothing has a condition. */
  #batchOf(waiting: readonly Queued[]): readonly Queued[] {
    if (this.#single > 0 || !this.#transactions) return waiting.slice(0, 1);
    let characters = 0;
    const alone = (change: Queued): boolean =>
      isConditional(change) || Object.keys(change.metadata).length > 0;
    const end = waiting.findIndex((change, at) => {
      characters += change.characters;
      const [first] = waiting;
      const ends =
        alone(change) || (first !== undefined && alone(first)) || characters > MAX_BATCH_CHARACTERS;
      return at > 0 && ends;
    });
    return end < 0 ? waiting : waiting.slice(0, end);
  }

  /** An answer that no repetition changes; anything else is thrown again. */
  async #refused(batch: readonly Queued[], first: Queued, error: unknown): Promise<void> {
    const why = refusal(error);
    if (why === undefined) throw error;
    if (why === 'no transactions') {
      this.#transactions = false;
      // Alone, and without a cursor.
      if (batch.length > 1 || !first.whole) return;
    }
    // Which of them is at fault shows one by one.
    if (batch.length > 1) this.#single = batch.length;
    else await this.#refuse(first, errorText(error), false);
  }

  async #sendConditional(change: Queued, from: CursorState | undefined): Promise<void> {
    const etags = await this.#demands(change);
    let reason = 'it was changed over there meanwhile';
    if (etags !== undefined) {
      try {
        await this.#send(change.operations, etags, change, from);
        return await this.#settle([change], NO_VALUES);
      } catch (error) {
        if (!(error instanceof EtagError)) throw error;
        // A request of this node arrived late and moved the cursor: that says nothing of the change.
        if (from !== undefined && (await this.#cursor()).etag !== from.etag) return;
        reason = error.message;
      }
    }
    if (await this.#isThere(change)) await this.#settle([change], NO_VALUES);
    else await this.#refuse(change, reason, true);
  }

  /** The ETags to demand; `undefined` when something else is over there than the app saw. */
  async #demands({ operations }: Queued): Promise<ReadonlyMap<string, string> | undefined> {
    const etags = new Map<string, string>();
    for (const { key, condition } of operations) {
      if (condition === undefined || 'absent' in condition) continue;
      const etag = 'etag' in condition ? condition.etag : await this.#etagOf(key, condition.base);
      if (etag === undefined) return undefined;
      etags.set(key, etag);
    }
    return etags;
  }

  async #etagOf(key: string, base: string | null): Promise<string | undefined> {
    const record = await this.#farValue(key);
    return sameValue(textOf(record), base) ? record?.etag : undefined;
  }

  async #isThere(change: Queued): Promise<boolean> {
    for (const { key, value } of lastOf([change])) {
      if (!sameValue(textOf(await this.#farValue(key)), value)) return false;
    }
    return true;
  }

  #ask<T>(request: (signal: AbortSignal) => Promise<T>): Promise<T> {
    return this.#options.link.run(this.#closing.signal, request);
  }

  #farValue(key: string): Promise<StateRecord | undefined> {
    const { remote } = this.#options;
    return this.#ask((signal) => remote.get({ key, consistency: 'strong', metadata: {} }, signal));
  }

  #cursor(): Promise<CursorState> {
    const { remote, cursor } = this.#options;
    return this.#ask((signal) => readCursor(remote, cursor, signal));
  }

  /** `last` is the change at which the cursor stands behind them; `from` is where it stands, undefined where there is none. */
  async #send(
    operations: Operations,
    etags: ReadonlyMap<string, string>,
    last: Queued,
    from: CursorState | undefined,
  ): Promise<void> {
    const { remote, cursor } = this.#options;
    const { transact } = remote;
    const list = operations.map((operation) => toOperation(operation, etags.get(operation.key)));
    const [only] = list;
    if ((from !== undefined || last.whole) && transact !== undefined) {
      if (from !== undefined) list.push(moveCursor(cursor, from, last.id));
      await this.#ask((signal) => transact(list, last.metadata, signal));
    } else if (only?.kind === 'upsert') await this.#ask((signal) => remote.set(only, signal));
    else if (only !== undefined) await this.#ask((signal) => remote.delete(only, signal));
  }

  /** The changes are over there, or refused and `adopted` is what is there. */
  async #settle(changes: readonly Queued[], adopted: Values): Promise<void> {
    const { owner, database, deps, settled } = this.#options;
    const keys = changes.flatMap(({ operations }) => operations.map(({ key }) => key));
    const sequences = changes.map(({ sequence }) => sequence);
    const steps = [...settleSteps(owner, sequences, keys)];
    for (const [key, record] of adopted) {
      const value = textOf(record);
      const far = value === null ? undefined : { value, etag: record?.etag };
      steps.push(...adoptSteps(owner, key, far, deps.ids.uuidv7()));
    }
    await database.write(steps);
    settled(changes.length);
  }

  async #refuse(change: Queued, reason: string, conflict: boolean): Promise<void> {
    const adopted = new Map<string, StateRecord | undefined>();
    for (const { key } of change.operations) adopted.set(key, await this.#farValue(key));
    await this.#options.refuse({ change, reason, conflict, there: adopted });
    await this.#settle([change], adopted);
  }
}

/** The last operation of each key. */
function lastOf(changes: readonly QueuedChange[]): Operations {
  const operations = changes.flatMap((change) => change.operations);
  return [...new Map(operations.map((operation) => [operation.key, operation])).values()];
}

/** Why no repetition helps; undefined when one may. */
function refusal(error: unknown): 'refused' | 'no transactions' | undefined {
  // Without a condition it can only be the cursor: the next look tells where it stands.
  if (!(error instanceof FarSidecarError)) return undefined;
  if (NO_TRANSACTIONS.test(error.errorCode)) return 'no transactions';
  return REFUSALS.has(error.status) && !NOT_SET_UP.test(error.errorCode) ? 'refused' : undefined;
}

/**
 * The `state.in-memory` store, for development and tests: a map that ends with the process. Expiry counts elapsed time,
 * so that setting the wall clock removes nothing early.
 */

import type { Clock, Timer } from '../../../runtime/contracts/clock.ts';
import type { Ids } from '../../../runtime/contracts/ids.ts';
import {
  type BulkStateRecord,
  checkStateOptions,
  type DeleteStateRequest,
  EtagError,
  type GetStateRequest,
  type KeysLikeAnswer,
  type KeysLikeRequest,
  keyPrefix,
  likeTokens,
  type SetStateRequest,
  type StateOperation,
  type StateRecord,
  type StateStore,
} from '../../../runtime/contracts/state-store.ts';

/** Dapr feature names, as its own component reports them. */
export const STATE_IN_MEMORY_FEATURES: readonly string[] = [
  'ETAG',
  'TRANSACTIONAL',
  'TTL',
  'DELETE_WITH_PREFIX',
  'KEYS_LIKE',
];

const SWEEP_MS = 1000;

interface Item extends StateRecord {
  readonly etag: string;
  /** Place in the order of first writing. */
  readonly order: number;
  /** On the monotonic clock; absent for no expiry. */
  readonly expiresAt?: number;
}

export class StateInMemory implements StateStore {
  readonly features = STATE_IN_MEMORY_FEATURES;
  readonly #clock: Clock;
  readonly #ids: Ids;
  readonly #items = new Map<string, Item>();
  /** Keys that expire, so that a sweep need not look at all. */
  readonly #expiring = new Set<string>();
  #sweep: Timer | undefined;
  #written = 0;

  constructor(deps: { readonly clock: Clock; readonly ids: Ids }) {
    this.#clock = deps.clock;
    this.#ids = deps.ids;
  }

  async init(): Promise<void> {}

  async close(): Promise<void> {
    this.#sweep?.cancel();
    this.#sweep = undefined;
    this.#items.clear();
    this.#expiring.clear();
  }

  async get(request: GetStateRequest): Promise<StateRecord | undefined> {
    return this.#live(request.key);
  }

  async bulkGet(keys: readonly string[]): Promise<readonly BulkStateRecord[]> {
    return keys.map((key) => {
      const record = this.#live(key);
      return record === undefined ? { key } : { key, record };
    });
  }

  async set(request: SetStateRequest): Promise<void> {
    const ttlSeconds = checkedTtl(request);
    this.#checkEtag(request);
    this.#store(request, ttlSeconds);
  }

  async delete(request: DeleteStateRequest): Promise<void> {
    checkStateOptions(request.options);
    this.#checkEtag(request);
    this.#remove(request.key);
  }

  /** As Dapr's: every ETag is checked against the state before the transaction, then all is applied in order. */
  async transact(operations: readonly StateOperation[]): Promise<void> {
    const ttls = operations.map((operation) => {
      if (operation.kind === 'upsert') return checkedTtl(operation);
      checkStateOptions(operation.options);
      return 0;
    });
    for (const operation of operations) this.#checkEtag(operation);
    operations.forEach((operation, index) => {
      if (operation.kind === 'upsert') this.#store(operation, ttls[index] ?? 0);
      else this.#remove(operation.key);
    });
  }

  async keysLike(request: KeysLikeRequest): Promise<KeysLikeAnswer> {
    const fits = new RegExp(`^${likeTokens(request.pattern).map(regexOf).join('')}$`, 'su');
    const { continuationToken: after = '-1', pageSize = Number.POSITIVE_INFINITY } = request;
    if (!/^-?\d+$/.test(after)) throw new Error(`invalid continue token: ${after}`);
    const keys: string[] = [];
    let last = 0;
    // A map keeps the order in which its keys came.
    for (const [key, { order }] of this.#items) {
      if (order <= Number(after) || !fits.test(key) || this.#live(key) === undefined) continue;
      if (keys.length >= pageSize) return { keys, continuationToken: String(last) };
      keys.push(key);
      last = order;
    }
    return { keys };
  }

  async deleteWithPrefix(given: string): Promise<number> {
    const prefix = keyPrefix(given);
    let count = 0;
    for (const key of this.#items.keys()) {
      if (!key.startsWith(prefix) || key.includes('||', prefix.length)) continue;
      if (this.#live(key) !== undefined) count += 1;
      this.#remove(key);
    }
    return count;
  }

  #live(key: string): Item | undefined {
    const item = this.#items.get(key);
    if (item?.expiresAt !== undefined && item.expiresAt <= this.#clock.monotonicMs()) {
      this.#remove(key);
      return undefined;
    }
    return item;
  }

  #checkEtag({ key, etag, options }: StateOperation): void {
    const item = this.#live(key);
    if (etag === undefined || etag === '') {
      if (options.concurrency === 'first-write' && item !== undefined) {
        throw new EtagError('mismatch', 'item already exists and no etag was passed');
      }
      return;
    }
    if (item === undefined) throw new EtagError('mismatch', `state not exist or expired for key=${key}`);
    if (item.etag !== etag) {
      throw new EtagError(
        'mismatch',
        `state etag not match for key=${key}: current=${item.etag}, expect=${etag}`,
      );
    }
  }

  #store(request: SetStateRequest, ttlSeconds: number): void {
    // A copy: the bytes given may be a view into a whole request body.
    const order = this.#items.get(request.key)?.order ?? this.#written++;
    const record = { value: new Uint8Array(request.value.bytes), etag: this.#ids.uuid(), order };
    if (ttlSeconds <= 0) {
      this.#expiring.delete(request.key);
      this.#items.set(request.key, record);
      return;
    }
    const at = Math.floor(this.#clock.now() / 1000) * 1000 + ttlSeconds * 1000;
    this.#items.set(request.key, {
      ...record,
      metadata: { ttlExpireTime: Temporal.Instant.fromEpochMilliseconds(at).toString() },
      expiresAt: this.#clock.monotonicMs() + ttlSeconds * 1000,
    });
    this.#expiring.add(request.key);
    this.#sweep ??= this.#clock.startTimer(SWEEP_MS, () => this.#sweepExpired(), true);
  }

  #remove(key: string): void {
    this.#items.delete(key);
    this.#expiring.delete(key);
  }

  #sweepExpired(): void {
    for (const key of this.#expiring) this.#live(key);
    this.#sweep =
      this.#expiring.size === 0
        ? undefined
        : this.#clock.startTimer(SWEEP_MS, () => this.#sweepExpired(), true);
  }
}

function regexOf(token: ReturnType<typeof likeTokens>[number]): string {
  if (typeof token !== 'string') return RegExp.escape(token.text);
  return token === 'any' ? '.*' : '.';
}

/** Seconds to live after the request's options were checked; negative numbers mean no expiry. */
function checkedTtl(request: SetStateRequest): number {
  checkStateOptions(request.options);
  const text = request.metadata['ttlInSeconds'];
  if (text === undefined || text === '') return 0;
  if (!/^[+-]?\d+$/.test(text))
    throw new Error(`strconv.Atoi: parsing ${JSON.stringify(text)}: invalid syntax`);
  if (!Number.isSafeInteger(Number(text)))
    throw new Error(`strconv.Atoi: parsing ${JSON.stringify(text)}: value out of range`);
  return Math.min(Math.max(0, Number(text)), 2 ** 31);
}

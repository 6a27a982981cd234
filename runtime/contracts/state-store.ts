/** A state store component (Dapr state API). Keys arrive prefixed and are opaque to the store. */

import type { ComponentInstance } from './component.ts';
import type { Migration, SqlStep, SqlValue } from './database.ts';

/** Stored bytes; `json` tells that they are a JSON text (HTTP values), as opposed to opaque bytes (gRPC). */
export interface StateValue {
  readonly bytes: Uint8Array;
  readonly json: boolean;
}

export interface StateOptions {
  /** `first-write`, `last-write` or empty; other words are refused by the store. */
  readonly concurrency: string;
  /** `strong`, `eventual` or empty. */
  readonly consistency: string;
}

/** Rejects words that are neither empty nor one of Dapr's, with Dapr's text. */
export function checkStateOptions({ concurrency, consistency }: StateOptions): void {
  if (concurrency !== '' && concurrency !== 'first-write' && concurrency !== 'last-write') {
    throw new Error(`unrecognized concurrency model '${concurrency}'`);
  }
  if (consistency !== '' && consistency !== 'strong' && consistency !== 'eventual') {
    throw new Error(`unrecognized consistency model '${consistency}'`);
  }
}

export interface GetStateRequest {
  readonly key: string;
  readonly consistency: string;
  readonly metadata: Readonly<Record<string, string>>;
}

export interface StateRecord {
  readonly value: Uint8Array;
  readonly etag?: string;
  /** Response metadata such as `ttlExpireTime` (RFC 3339). */
  readonly metadata?: Readonly<Record<string, string>>;
}

/** One answer of a bulk read; neither `record` nor `error` for a missing key. */
export interface BulkStateRecord {
  readonly key: string;
  readonly record?: StateRecord;
  readonly error?: string;
}

export interface SetStateRequest {
  readonly kind: 'upsert';
  readonly key: string;
  readonly value: StateValue;
  /** Absent: no check (unless `first-write`). */
  readonly etag?: string;
  readonly options: StateOptions;
  /** `ttlInSeconds`, `contentType`, `partitionKey`, ... */
  readonly metadata: Readonly<Record<string, string>>;
}

export interface DeleteStateRequest {
  readonly kind: 'delete';
  readonly key: string;
  readonly etag?: string;
  readonly options: StateOptions;
  readonly metadata: Readonly<Record<string, string>>;
}

export type StateOperation = SetStateRequest | DeleteStateRequest;

export interface KeysLikeRequest {
  /** As for SQL's `LIKE`: `%` is any text, `_` any character, `\` before one of them takes it literally. */
  readonly pattern: string;
  /** Most keys of one answer; absent: all. */
  readonly pageSize?: number;
  /** From the answer before. */
  readonly continuationToken?: string;
}

export interface KeysLikeAnswer {
  readonly keys: readonly string[];
  /** Absent at the end. */
  readonly continuationToken?: string;
}

/** The characters of a `LIKE` pattern as what they stand for; rejects a pattern that fits nothing. */
export function likeTokens(pattern: string): readonly ('any' | 'one' | { readonly text: string })[] {
  if (pattern === '') throw new Error('the pattern must not be empty');
  return [...pattern.matchAll(/\\([\s\S])|[\s\S]/gu)].map(([whole, escaped]) => {
    if (escaped !== undefined) return { text: escaped };
    return whole === '%' ? 'any' : whole === '_' ? 'one' : { text: whole };
  });
}

/** `prefix` with the separator it must end in. */
export function keyPrefix(prefix: string): string {
  if (prefix === '' || prefix === '||') throw new Error('a prefix is required');
  return prefix.endsWith('||') ? prefix : `${prefix}||`;
}

export interface StateStore extends ComponentInstance {
  /** Dapr feature names: `ETAG`, `TRANSACTIONAL`, `TTL`, `DELETE_WITH_PREFIX`, `KEYS_LIKE`, `QUERY_API`. */
  readonly features: readonly string[];
  get(request: GetStateRequest, signal: AbortSignal): Promise<StateRecord | undefined>;
  /** Reads many keys at once; the answers stand in the store's own order. A store without it is read key by key. */
  bulkGet?(
    keys: readonly string[],
    metadata: Readonly<Record<string, string>>,
    signal: AbortSignal,
    /** How many reads the caller wants side by side; 0 or absent: the store decides. */
    parallelism?: number,
  ): Promise<readonly BulkStateRecord[]>;
  set(request: SetStateRequest, signal: AbortSignal): Promise<void>;
  delete(request: DeleteStateRequest, signal: AbortSignal): Promise<void>;
  /**
   * Several writes without atomicity; result per request in order, `undefined` for success. The same error for all: the
   * store refused them as a whole.
   */
  bulkWrite?(
    requests: readonly StateOperation[],
    signal: AbortSignal,
  ): Promise<readonly (Error | undefined)[]>;
  /** All or nothing, in order. Present when `TRANSACTIONAL`. */
  transact?(
    operations: readonly StateOperation[],
    metadata: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): Promise<void>;
  /** Keys that fit a pattern, oldest first. Present when `KEYS_LIKE`. */
  keysLike?(request: KeysLikeRequest, signal: AbortSignal): Promise<KeysLikeAnswer>;
  /**
   * Deletes the keys directly below `prefix` (what follows it has no `||`) and gives their number. Present when
   * `DELETE_WITH_PREFIX`.
   */
  deleteWithPrefix?(prefix: string, signal: AbortSignal): Promise<number>;
  /** 0, less, or absent: no limit. A promise where the store has to ask; read when a transaction comes. */
  readonly maxTransactionOperations?: number | Promise<number>;
  /** Starts noting changes of some keys; present where the store can do so within the write itself. */
  journal?(options: JournalOptions): Promise<StateJournal>;
  /** Dapr's query API; absent where the store has none. */
  query?(
    query: StateQuery,
    metadata: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): Promise<StateQueryResult>;
}

/** The last change of one key, as the store noted it in the transaction of the write. */
export interface JournalEntry {
  readonly key: string;
  /** Place among all changes of the table; also the hybrid time at which it was noted. */
  readonly sequence: number;
  /** Hybrid time of the write itself: of a write that came from elsewhere, the time it had there. */
  readonly stamp: number;
  /** Empty for a write of an app; else who applied it (`StateJournal.apply`). */
  readonly origin: string;
}

export interface JournalOptions {
  /** Unique in the file: whose keys these are. */
  readonly owner: string;
  readonly keys: readonly string[];
  readonly prefixes: readonly string[];
  /** Tables of the owner in the same file. */
  readonly migrations: readonly Migration[];
  /** After a write through this instance. */
  readonly changed: () => void;
}

/** A store's own record of what changed, durable with the change itself; stays in force when the process ends. */
export interface StateJournal {
  /** Changes after `sequence`, oldest first; a key stands once, at its last change. */
  changes(after: number, limit: number): readonly JournalEntry[];
  find(keys: readonly string[]): readonly JournalEntry[];
  /**
   * Writes that come from elsewhere, with the owner's own steps in the same transaction. Rejects with an `EtagError` when
   * a key changed meanwhile: nothing is applied then.
   */
  apply(
    operations: readonly { readonly operation: StateOperation; readonly stamp: number }[],
    origin: string,
    steps: readonly SqlStep[],
  ): Promise<void>;
  /** One query over the owner's tables. */
  read(sql: string, params?: readonly SqlValue[]): readonly Readonly<Record<string, SqlValue>>[];
  /** The present hybrid time: later than every change noted or applied so far. */
  now(): number;
  close(): void;
}

/** A query whose filter has the form that Dapr documents; what it means is the store's business. */
export interface StateQuery {
  readonly filter: Readonly<Record<string, unknown>>;
  readonly sort: readonly { readonly key: string; readonly order: string }[];
  readonly page: { readonly limit: number; readonly token: string };
}

export interface StateQueryResult {
  readonly items: readonly StateQueryItem[];
  /** Where the next page starts; empty when this was the last. */
  readonly token: string;
  readonly metadata: Readonly<Record<string, string>>;
}

export interface StateQueryItem {
  readonly key: string;
  readonly value: Uint8Array;
  readonly etag?: string;
  readonly error?: string;
}

/** `mismatch`: the record has another etag; `invalid`: the store cannot parse the etag given. */
export class EtagError extends Error {
  override readonly name = 'EtagError';
  readonly kind: 'mismatch' | 'invalid';
  constructor(kind: 'mismatch' | 'invalid', cause?: string) {
    const text =
      kind === 'mismatch' ? 'possible etag mismatch. error from state store' : 'invalid etag value';
    super(cause === undefined ? text : `${text}: ${cause}`);
    this.kind = kind;
  }
}

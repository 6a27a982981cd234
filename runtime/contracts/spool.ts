/**
 * Store-and-forward: a durable, bounded, ordered queue in front of a target that may be away. A message is accepted
 * when it is on disk and leaves when the target confirmed it, it expired, or a person dropped it:
 * accepted = delivered + pending + dropped, always.
 */

/** What happens to a new message when the queue is full. */
export type FullPolicy = 'block' | 'reject' | 'drop-oldest' | 'drop-newest';

export interface SpoolOptions {
  /** Queue name, unique in the node: `<app id>/<component name>`. */
  readonly name: string;
  readonly maxMessages: number;
  /** Bytes on the disk: payload, headers, rows with their index entries, and the queue's part of the write-ahead log. */
  readonly maxBytes: number;
  readonly whenFull: FullPolicy;
  /** Elapsed (not wall clock) time a message may wait; 0 = for ever. */
  readonly ttlMs: number;
  /** Keys with an attempt under way at the same time (default 16). */
  readonly parallelKeys?: number;
  /** Milliseconds that a message may wait for others to share its commit (default 0). */
  readonly lingerMs?: number;
}

export interface SpoolMessage {
  /** Messages of one key keep their order; the empty key is one key. */
  readonly key: string;
  /** 0 (bulk) to 9 (urgent). */
  readonly priority: number;
  readonly payload: Uint8Array;
  /** Small string map stored beside the payload (operation, metadata, content type). */
  readonly headers: Readonly<Record<string, string>>;
}

export interface StoredMessage extends SpoolMessage {
  /** UUID v7 given at acceptance; travels as the CloudEvent id so that receivers can drop repeats. */
  readonly id: string;
  readonly sequence: number;
  /** Wall clock at acceptance, for people. */
  readonly acceptedAt: number;
  /** Delivery attempts so far. */
  readonly attempts: number;
}

export type SpoolState = 'pending' | 'parked' | 'delivered' | 'dropped';

export interface SpoolCounts {
  readonly accepted: number;
  readonly delivered: number;
  readonly pending: number;
  /** Poison messages set aside; part of `pending` in the ledger. */
  readonly parked: number;
  /** By reason: `expired`, `full`, `removed`, `damaged` (lost with a part of the file). */
  readonly dropped: Readonly<Record<string, number>>;
  readonly pendingBytes: number;
  readonly oldestAcceptedAt?: number;
  readonly lastError?: string;
}

/** Outcome of one delivery attempt. `retry`: the target is away; `park`: this message can never succeed. */
export type DeliveryOutcome = 'delivered' | { readonly retry: string } | { readonly park: string };

export interface Spool {
  readonly options: SpoolOptions;
  /** Resolves with the id once the message is on disk. Rejects with `SpoolFullError` under `reject`. */
  append(message: SpoolMessage): Promise<string>;
  /** Starts the drain loop; `deliver` gets messages in order per key. Backs off with full jitter while it fails. */
  drain(deliver: (message: StoredMessage, signal: AbortSignal) => Promise<DeliveryOutcome>): void;
  /** Hints that the target may be back: the next attempt happens now. */
  wake(): void;
  counts(): SpoolCounts;
  /** Stops draining (the attempt in flight is awaited), keeps what is pending. */
  close(): Promise<void>;
}

/** Where a message is and why. */
export interface SpoolEntry {
  readonly id: string;
  readonly queue: string;
  readonly state: SpoolState;
  /** Why it was dropped. */
  readonly reason?: string;
  /** Wall clock of the delivery or drop. */
  readonly endedAt?: number;
  /** Of messages that are still there. */
  readonly key?: string;
  readonly priority?: number;
  readonly bytes?: number;
  readonly acceptedAt?: number;
  readonly attempts?: number;
  /** What the last attempt of a parked message said. */
  readonly error?: string;
}

/** Messages one by one, for people. */
export interface SpoolDesk {
  /** Messages that are there, oldest first; `after` is the id of the last one seen. */
  list(query: {
    readonly queue?: string;
    readonly state?: 'pending' | 'parked';
    readonly after?: string;
    readonly limit: number;
  }): Promise<readonly SpoolEntry[]>;
  /** Also finds messages that left, as far back as is remembered. */
  find(id: string): Promise<SpoolEntry | undefined>;
  /** Headers and payload of a message that is there. */
  content(
    id: string,
  ): Promise<
    { readonly headers: Readonly<Record<string, string>>; readonly payload: Uint8Array } | undefined
  >;
  /** Gives parked messages another turn: one, or all of a queue. The number released. */
  retry(which: { readonly id: string } | { readonly queue: string }): Promise<number>;
  /** Drops a message that is there; `busy` while it is being delivered. */
  drop(id: string): Promise<'dropped' | 'busy' | 'absent'>;
}

export interface SpoolSource {
  /** Present when messages can be looked at and acted on one by one. */
  readonly desk?: SpoolDesk;
  /** Opens (or re-opens after a restart) the queue of this name. */
  open(options: SpoolOptions): Promise<Spool>;
  /** Every queue known to the node's file, opened or not, with its counts. */
  list(): Promise<readonly { readonly name: string; readonly counts: SpoolCounts }[]>;
}

/** The queue is full and its policy is `reject`. */
export class SpoolFullError extends Error {
  override readonly name = 'SpoolFullError';
}

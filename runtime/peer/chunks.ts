/**
 * Bodies as numbered chunks: the sending side cuts, the receiving side checks that no number is missing (gRPC reference,
 * section 5.1).
 */

/** Cut of one message; within the limit of every receiver, and few enough messages for large bodies. */
export const CHUNK_BYTES = 32 * 1024;

/** Parts of at most `CHUNK_BYTES`. */
export function* cut(bytes: Uint8Array, from = 0): Generator<Uint8Array> {
  for (let at = from; at < bytes.byteLength; at += CHUNK_BYTES) {
    yield bytes.subarray(at, Math.min(bytes.byteLength, at + CHUNK_BYTES));
  }
}

interface Payload {
  readonly data: Uint8Array;
  readonly seq: number;
}

/** Checks the numbers of payloads as they come. */
export function createSequence(): { take(payload: Payload | undefined): Uint8Array | undefined } {
  let expected = 0;
  return {
    take(payload) {
      if (payload === undefined) return undefined;
      if (payload.seq !== expected) {
        throw new Error(`invalid sequence number received: ${payload.seq} (expected: ${expected})`);
      }
      expected += 1;
      return payload.data.byteLength === 0 ? undefined : payload.data;
    },
  };
}

/** Resolves with `value` in a later turn of the event loop, when everything that already arrived has been handed out. */
export function nextTurn(): Promise<undefined>;
export function nextTurn<T>(value: T): Promise<T>;
export function nextTurn(value?: unknown): Promise<unknown> {
  return new Promise((resolve) => {
    setImmediate(() => resolve(value));
  });
}

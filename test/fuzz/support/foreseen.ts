/** Errors that tell of a mistake of ours and not of the input. */

const MISTAKES = [TypeError, ReferenceError, RangeError, EvalError];

/** What the decoder of protobuf messages calls bytes that are none. */
const DECODER =
  /not valid for encoding utf-8|outside the bounds of the DataView|premature EOF|index out of range/;

/** Throws `error` when nobody foresaw it. */
export function ensureForeseen(error: unknown): void {
  if (error instanceof Error && DECODER.test(error.message)) return;
  if (!(error instanceof Error) || MISTAKES.some((kind) => error instanceof kind)) throw error;
}

/**
 * JSON that is read here and written again with every digit it came with. `JSON.parse` makes doubles of numbers, which hold
 * 15 decimal digits (IEEE 754); what has more stays the text that it was (ECMA-262, `JSON.rawJSON`).
 */

interface Source {
  /** Text of a value that is neither object nor array. */
  readonly source?: string;
}

const { parse, rawJSON } = JSON as unknown as {
  parse(text: string, reviver?: (name: string, value: unknown, context: Source) => unknown): unknown;
  rawJSON(text: string): unknown;
};

/** Only such a text can hold a number that a double cannot. */
const SUSPICIOUS = /[\d.]{16}|\d[eE]/;
const MAX_DIGITS = 15;
const WHOLE = /^-?\d+$/;

/** The value; `JSON.stringify` writes its numbers as they were. Throws what `JSON.parse` throws. */
export function parseExact(text: string): unknown {
  if (!SUSPICIOUS.test(text)) return parse(text);
  return parse(text, (_name, value, { source }) =>
    typeof value === 'number' && source !== undefined && !isHeld(value, source) ? rawJSON(source) : value,
  );
}

function isHeld(value: number, source: string): boolean {
  const mantissa = source.replace(/[eE].*$/, '').replace(/[-.]/g, '');
  const digits = mantissa.replace(/^0+/, '');
  if (!Number.isFinite(value) || (value === 0 && digits !== '')) return false;
  return digits.length <= MAX_DIGITS || (Number.isSafeInteger(value) && WHOLE.test(source));
}

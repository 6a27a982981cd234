/**
 * JSON values with their numbers as they were written: what a double cannot hold (integers above 2^53, long fractions, 1e400) is
 * carried as its text, so that a value which is read and written again stays what it was.
 */

type Reviver = (name: string, value: unknown, context: { readonly source?: string }) => unknown;

/** ECMAScript 2026, "JSON.parse source text access"; the typings do not know it yet. */
const { parse, rawJSON } = JSON as unknown as {
  parse(text: string, reviver: Reviver): unknown;
  rawJSON(text: string): unknown;
};

/** Numbers in a text that a double may not hold: many digits, or an exponent. Digits in strings cost time only. */
const SUSPECT = /[\d.]{16}|\d[eE][-+]?\d/;
const NUMBER = /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([-+]?\d+))?$/;

/** As `JSON.parse`; numbers that would lose digits are raw JSON (`JSON.isRawJSON`), and `JSON.stringify` writes them. */
export function parseExact(text: string): unknown {
  return SUSPECT.test(text) ? parse(text, exact) : JSON.parse(text);
}

/** As `JSON.parse`; every number is raw JSON, so that `JSON.stringify` writes it digit by digit as it came. */
export function parseVerbatim(text: string): unknown {
  return parse(text, (_name, value, { source }) =>
    typeof value === 'number' && source !== undefined ? rawJSON(source) : value,
  );
}

function exact(_name: string, value: unknown, { source }: { readonly source?: string }): unknown {
  if (typeof value !== 'number' || source === undefined) return value;
  return decimal(source) === decimal(String(value)) ? value : rawJSON(source);
}

/** The same text for the same number, however it is written. */
function decimal(text: string): string {
  const [, sign = '', whole = '', fraction = '', exponent = '0'] = NUMBER.exec(text) ?? [text];
  const digits = `${whole}${fraction}`.replace(/^0+/, '');
  const kept = digits.replace(/0+$/, '');
  if (kept === '') return '0';
  return `${sign}${kept}e${Number(exponent) - fraction.length + digits.length - kept.length}`;
}

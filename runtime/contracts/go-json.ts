/**
 * JSON text as Dapr's plain encoder writes it: compact, object members sorted, `<`, `>`, `&` and the two line
 * separators escaped. State values and binding data reach components in this form (HTTP reference, 0 and 6.2).
 */

const ESCAPED = /[<>&\u2028\u2029]/;
const ESCAPED_ALL = /[<>&\u2028\u2029]/g;
const SPELLING: Readonly<Record<string, string>> = {
  '<': '\\u003c',
  '>': '\\u003e',
  '&': '\\u0026',
  '\u2028': '\\u2028',
  '\u2029': '\\u2029',
};
/** Deeper values are refused, as Go's decoder does. */
const MAX_DEPTH = 10_000;

/** A JSON string literal. */
export function jsonText(text: string): string {
  const literal = JSON.stringify(text);
  return ESCAPED.test(literal) ? literal.replace(ESCAPED_ALL, (c) => SPELLING[c] ?? c) : literal;
}

/** The JSON text of a parsed value. */
export function goJson(value: unknown, depth = 0): string {
  if (typeof value === 'string') return jsonText(value);
  if (value === null || value === undefined) return 'null';
  if (typeof value !== 'object') return JSON.stringify(value);
  if (depth > MAX_DEPTH) throw new Error('exceeded max depth');
  if (Array.isArray(value)) return `[${value.map((item) => goJson(item, depth + 1)).join(',')}]`;
  const members = value as Readonly<Record<string, unknown>>;
  let text = '';
  for (const name of Object.keys(members).sort()) {
    text += `${text === '' ? '{' : ','}${jsonText(name)}:${goJson(members[name], depth + 1)}`;
  }
  return text === '' ? '{}' : `${text}}`;
}

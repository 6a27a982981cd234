/**
 * JSON values on their way to a store, spelled as Dapr spells them: compact, members sorted, `<`, `>`, `&` and the line
 * separators escaped.
 */

import { errorText, runtimeError } from '../../contracts/error.ts';

const SPELLING: Readonly<Record<string, string>> = {
  '<': '\\u003c',
  '>': '\\u003e',
  '&': '\\u0026',
  '\u2028': '\\u2028',
  '\u2029': '\\u2029',
};
const ESCAPED = /[<>&\u2028\u2029]/g;

/** Parses `bytes` and writes them again; unparsable text is refused with code Unknown. */
export function canonicalJson(bytes: Uint8Array): Uint8Array {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8'));
  } catch (cause) {
    throw runtimeError('unknown', { error: errorText(cause) }, { cause });
  }
  return Buffer.from(
    JSON.stringify(sorted(value)).replace(ESCAPED, (character) => SPELLING[character] ?? character),
  );
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  const members = value as Record<string, unknown>;
  return Object.fromEntries(
    Object.keys(members)
      .sort()
      .map((name) => [name, sorted(members[name])]),
  );
}

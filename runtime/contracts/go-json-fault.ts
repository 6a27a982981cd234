/**
 * What is wrong with a JSON text, in the words of Dapr's decoder. Clients see them behind many messages, and an engine's
 * own words change with its version.
 */

const END = 'unexpected end of JSON input';
const SPACE = /[ \t\r\n]/;
const DIGIT = /[0-9]/;
const HEX = /^[0-9A-Fa-f]$/;
const ESCAPES = '"\\/bfnrt';
const LITERALS: Readonly<Record<string, string>> = { t: 'true', f: 'false', n: 'null' };

/** Stops the search at the first fault. */
class Fault extends Error {}

/** `JSON.parse` whose error says what Go's decoder would; `end` is its word for a text that breaks off. */
export function parseGoJson(text: string, end = END): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new SyntaxError(goJsonFault(text, end) ?? (cause as Error).message, { cause });
  }
}

/** The first fault of a text; `undefined` when none is found. */
export function goJsonFault(text: string, end = END): string | undefined {
  try {
    const behind = skipSpace(text, skipValue(text, 0));
    return behind < text.length ? fault(text, behind, 'after top-level value').message : undefined;
  } catch (error) {
    if (error instanceof Fault) return error.message === END ? end : error.message;
    // Nested deeper than the stack: the engine's words have to do.
    return undefined;
  }
}

/** Position behind the value that begins at or after `at`. */
function skipValue(text: string, at: number): number {
  const start = skipSpace(text, at);
  const first = text[start];
  if (first === '{') return skipObject(text, start + 1);
  if (first === '[') return skipArray(text, start + 1);
  if (first === '"') return skipString(text, start + 1);
  if (first === '-' || (first !== undefined && DIGIT.test(first))) return skipNumber(text, start);
  const literal = LITERALS[first ?? ''];
  if (literal === undefined) throw fault(text, start, 'looking for beginning of value');
  for (let i = 1; i < literal.length; i += 1) {
    if (text[start + i] !== literal[i])
      throw fault(text, start + i, `in literal ${literal} (expecting '${literal[i]}')`);
  }
  return start + literal.length;
}

function skipObject(text: string, at: number): number {
  let next = skipSpace(text, at);
  if (text[next] === '}') return next + 1;
  for (;;) {
    if (text[next] !== '"') throw fault(text, next, 'looking for beginning of object key string');
    next = skipSpace(text, skipString(text, next + 1));
    if (text[next] !== ':') throw fault(text, next, 'after object key');
    next = skipSpace(text, skipValue(text, next + 1));
    if (text[next] === '}') return next + 1;
    if (text[next] !== ',') throw fault(text, next, 'after object key:value pair');
    next = skipSpace(text, next + 1);
  }
}

function skipArray(text: string, at: number): number {
  let next = skipSpace(text, at);
  if (text[next] === ']') return next + 1;
  for (;;) {
    next = skipSpace(text, skipValue(text, next));
    if (text[next] === ']') return next + 1;
    if (text[next] !== ',') throw fault(text, next, 'after array element');
    next += 1;
  }
}

function skipString(text: string, at: number): number {
  for (let next = at; ; next += 1) {
    const character = text[next];
    if (character === '"') return next + 1;
    if (character === undefined || character < ' ') throw fault(text, next, 'in string literal');
    if (character === '\\') next = skipEscape(text, next + 1);
  }
}

/** Position of the last character of the escape whose letter is at `at`. */
function skipEscape(text: string, at: number): number {
  const letter = text[at];
  if (letter !== 'u') {
    if (letter === undefined || !ESCAPES.includes(letter)) throw fault(text, at, 'in string escape code');
    return at;
  }
  for (let next = at + 1; next <= at + 4; next += 1) {
    if (!HEX.test(text[next] ?? '')) throw fault(text, next, 'in \\u hexadecimal character escape');
  }
  return at + 4;
}

function skipNumber(text: string, at: number): number {
  const digits = (from: number, where: string): number => {
    let next = from;
    while (DIGIT.test(text[next] ?? '')) next += 1;
    if (next === from) throw fault(text, next, where);
    return next;
  };
  const start = text[at] === '-' ? at + 1 : at;
  // A leading zero stands alone.
  let next = text[start] === '0' ? start + 1 : digits(start, 'in numeric literal');
  if (text[next] === '.') next = digits(next + 1, 'after decimal point in numeric literal');
  if (text[next] === 'e' || text[next] === 'E') {
    const sign = text[next + 1] === '+' || text[next + 1] === '-' ? 1 : 0;
    next = digits(next + 1 + sign, 'in exponent of numeric literal');
  }
  return next;
}

function skipSpace(text: string, at: number): number {
  let next = at;
  while (next < text.length && SPACE.test(text[next] as string)) next += 1;
  return next;
}

function fault(text: string, at: number, where: string): Fault {
  const code = text.codePointAt(at);
  if (code === undefined) return new Fault(END);
  return new Fault(`invalid character ${quoted(String.fromCodePoint(code))} ${where}`);
}

function quoted(character: string): string {
  if (character === "'") return "'\\''";
  if (character === '"') return `'"'`;
  const code = character.charCodeAt(0);
  if (code === 0x5c) return `'\\\\'`;
  const short: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' };
  if (code < 0x20 || code === 0x7f)
    return `'${short[character] ?? `\\x${code.toString(16).padStart(2, '0')}`}'`;
  return `'${character}'`;
}

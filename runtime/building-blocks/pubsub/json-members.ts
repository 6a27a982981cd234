/**
 * The members of a JSON object as they were written. Envelopes are made by putting texts together, so that a number of
 * any size, a key order or an escape chosen by the publisher reaches the subscriber as it was.
 */

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/**
 * Splits the text of an object, which must be valid JSON, into member name and value text. A repeated name keeps its
 * last value, as in `JSON.parse`.
 */
export function jsonMembers(text: string): Map<string, string> {
  const members = new Map<string, string>();
  let at = text.indexOf('{') + 1;
  for (;;) {
    at = skipBlanks(text, at);
    if (text[at] !== '"') return members;
    const nameEnd = stringEnd(text, at);
    const name: string = JSON.parse(text.slice(at, nameEnd));
    const start = skipBlanks(text, text.indexOf(':', nameEnd) + 1);
    const end = valueEnd(text, start);
    members.set(name, text.slice(start, end).trimEnd());
    at = skipBlanks(text, end);
    if (text[at] !== ',') return members;
    at += 1;
  }
}

/** Text of an object made of value texts. */
export function joinMembers(members: ReadonlyMap<string, string>): string {
  let text = '';
  for (const [name, value] of members) text += `${text === '' ? '{' : ','}${JSON.stringify(name)}:${value}`;
  return text === '' ? '{}' : `${text}}`;
}

function skipBlanks(text: string, from: number): number {
  let at = from;
  for (; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) break;
  }
  return at;
}

/** Position after the string that starts at `from`; the end of the text when it is not closed. */
function stringEnd(text: string, from: number): number {
  for (let at = from + 1; ; at += 1) {
    at = text.indexOf('"', at);
    if (at < 0) return text.length;
    let slashes = 0;
    while (text.charCodeAt(at - 1 - slashes) === BACKSLASH) slashes += 1;
    if (slashes % 2 === 0) return at + 1;
  }
}

/** Position of the comma or bracket that ends the value at `from`. */
function valueEnd(text: string, from: number): number {
  let depth = 0;
  let at = from;
  while (at < text.length) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) {
      at = stringEnd(text, at);
      continue;
    }
    if (code === 0x7b || code === 0x5b) depth += 1;
    else if (code === 0x7d || code === 0x5d) {
      if (depth === 0) return at;
      depth -= 1;
    } else if (code === 0x2c && depth === 0) return at;
    at += 1;
  }
  return at;
}

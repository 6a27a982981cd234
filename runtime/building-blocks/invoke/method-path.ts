/**
 * Method names of invocations (HTTP reference 10.1, gRPC reference 5.3): decoded once, checked, dot segments resolved,
 * escaped again. Between sidecars a method travels decoded; a literal `%` is sent as `%25`, because the far side reads
 * the text as a URL.
 */

/** A method that no app may be called with; its text is what clients see. */
export class InvalidMethodError extends Error {
  override readonly name = 'InvalidMethodError';
}

/** Nothing to decode, resolve or escape: the common case. */
const PLAIN = /^(?:[A-Za-z0-9\-_~][A-Za-z0-9\-._~]*(?:\/[A-Za-z0-9\-_~][A-Za-z0-9\-._~]*)*)?$/;
/** What must not stand in a path as it is. */
const UNSAFE = /[^A-Za-z0-9\-_.~!$&'()*+,;=:@/[\]]/u;
/** Once something must be escaped, Go escapes these as well: brackets, quotes, parentheses. */
const ESCAPED = /[^A-Za-z0-9\-_.~$&+,;=:@/]/gu;
const ESCAPE = /(%[0-9A-Fa-f]{2})/;

/** Canonical escaped form of a method given escaped. Throws `InvalidMethodError`. */
export function normaliseMethod(method: string): string {
  return PLAIN.test(method) ? method : escapePath(cleanMethod(decodeMethod(method)));
}

/** Text of an escaped method as it travels between sidecars. */
export function wireMethod(method: string): string {
  return method.includes('%') ? decodeMethod(method).replaceAll('%', '%25') : method;
}

/** Escaped form of a method that arrived from another sidecar: valid escapes stay, a stray `%` becomes `%25`. */
export function methodFromWire(text: string): string {
  if (PLAIN.test(text)) return text;
  const parts = cleanMethod(text).split(ESCAPE);
  // Whether anything must be escaped is a matter of the whole path.
  if (!parts.some((part, i) => i % 2 === 0 && UNSAFE.test(part))) return parts.join('');
  return parts.map((part, i) => (i % 2 === 1 ? part : part.replace(ESCAPED, encodeCharacter))).join('');
}

/** Decoded text of an escaped method, for gRPC apps. */
export function decodeMethod(method: string): string {
  if (!method.includes('%')) return method;
  try {
    return decodeURIComponent(method);
  } catch {
    throw new InvalidMethodError(`invalid method: invalid URL escape in ${quoted(method)}`);
  }
}

/** A method that was never escaped, for gRPC apps: dot segments resolved, a leading slash kept. */
export function plainMethod(text: string): string {
  const cleaned = cleanMethod(text);
  return text.startsWith('/') ? `/${cleaned}` : cleaned;
}

/** Percent-encodes what may not stand in a path; `/` stays. */
export function escapePath(text: string): string {
  return UNSAFE.test(text) ? text.replace(ESCAPED, encodeCharacter) : text;
}

function encodeCharacter(character: string): string {
  return [...Buffer.from(character, 'utf8')]
    .map((byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`)
    .join('');
}

function cleanMethod(text: string): string {
  for (let i = 0; i < text.length; i += 1) {
    const code = text.charCodeAt(i);
    if (code === 0x23 || code === 0x3f || code === 0) {
      throw new InvalidMethodError(`invalid method: method contains forbidden character: ${quoted(text)}`);
    }
  }
  for (let i = 0; i < text.length; i += 1) {
    const code = text.charCodeAt(i);
    if (code < 0x20 || code === 0x7f) {
      throw new InvalidMethodError(
        `invalid method: method contains control character at position ${i}: ${quoted(text)}`,
      );
    }
  }
  const segments: string[] = [];
  for (const segment of text.split('/')) {
    if (segment === '' || segment === '.') continue;
    if (segment === '..') segments.pop();
    else segments.push(segment);
  }
  return segments.join('/');
}

function quoted(text: string): string {
  return JSON.stringify(text).replace(/\\u00([0-9a-f]{2})/g, '\\x$1');
}

/**
 * Request targets (Dapr HTTP reference, section 2.3): the escaped path is cleaned and matched, parameters are decoded
 * afterwards with query-string rules. Everything here works on the target as node:http gives it, one character a byte.
 */

/** Path and query of a request target; absolute forms lose scheme and authority. */
export function splitTarget(target: string): { readonly path: string; readonly query: string } {
  let start = 0;
  if (target.charCodeAt(0) !== 0x2f) {
    const scheme = target.indexOf('://');
    start = scheme < 0 ? target.length : target.indexOf('/', scheme + 3);
    if (start < 0) start = target.length;
  }
  const mark = target.indexOf('?', start);
  const path = mark < 0 ? (start === 0 ? target : target.slice(start)) : target.slice(start, mark);
  return { path: path === '' ? '/' : path, query: mark < 0 ? '' : target.slice(mark + 1) };
}

const isHex = (code: number): boolean =>
  (code >= 0x30 && code <= 0x39) || (code >= 0x41 && code <= 0x46) || (code >= 0x61 && code <= 0x66);

/** Whether a `%` in `path` is not followed by two hexadecimal digits. */
export function hasMalformedEscape(path: string): boolean {
  for (let i = path.indexOf('%'); i >= 0; i = path.indexOf('%', i + 3)) {
    if (!isHex(path.charCodeAt(i + 1)) || !isHex(path.charCodeAt(i + 2))) return true;
  }
  return false;
}

/** Collapses `//`, resolves `.` and `..`, drops one trailing slash; escapes are left alone. */
export function cleanPath(path: string): string {
  const last = path.length - 1;
  if (last === 0) return path;
  if (path.charCodeAt(last) !== 0x2f && !path.includes('//') && !path.includes('/.')) return path;
  const kept: string[] = [];
  for (const segment of path.split('/')) {
    if (segment === '' || segment === '.') continue;
    if (segment === '..') kept.pop();
    else kept.push(segment);
  }
  return `/${kept.join('/')}`;
}

/** Percent-decodes to one character a byte; malformed escapes stay. */
export function decodeBytes(text: string): string {
  if (!text.includes('%')) return text;
  return text.replace(/%([0-9A-Fa-f]{2})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 16)),
  );
}

/** The path as text: escapes decoded as UTF-8. */
export function pathText(escaped: string): string {
  return escaped.includes('%') ? Buffer.from(decodeBytes(escaped), 'latin1').toString('utf8') : escaped;
}

/** Decodes with query-string rules: `+` is a space, escapes are UTF-8. */
export function decodeText(text: string): string {
  let plain = true;
  for (let i = 0; i < text.length; i += 1) {
    const code = text.charCodeAt(i);
    if (code === 0x25 || code === 0x2b || code > 0x7e) {
      plain = false;
      break;
    }
  }
  if (plain) return text;
  return Buffer.from(decodeBytes(text.replaceAll('+', ' ')), 'latin1').toString('utf8');
}

const UNESCAPED = /[^A-Za-z0-9\-_.~!$&'()*+,;=:@/]/g;

/** Escapes a path given one character a byte; `/` stays. */
export function escapeBytes(path: string): string {
  return path.replace(UNESCAPED, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`);
}

/** Names and values of a query string in order; parts with a malformed escape or a `;` are left out, as Go does. */
export function parseQuery(query: string): readonly (readonly [name: string, value: string])[] {
  if (query === '') return [];
  const pairs: (readonly [string, string])[] = [];
  for (const part of query.split('&')) {
    if (part === '' || part.includes(';') || hasMalformedEscape(part)) continue;
    const equals = part.indexOf('=');
    if (equals < 0) pairs.push([decodeText(part), '']);
    else pairs.push([decodeText(part.slice(0, equals)), decodeText(part.slice(equals + 1))]);
  }
  return pairs;
}

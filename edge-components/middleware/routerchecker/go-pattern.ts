/** Regular expressions in Go's syntax (RE2) as far as JavaScript writes the same thing differently. */

const POSIX: Readonly<Record<string, string>> = {
  alnum: '0-9A-Za-z',
  alpha: 'A-Za-z',
  digit: '0-9',
  lower: 'a-z',
  upper: 'A-Z',
  word: '0-9A-Za-z_',
  xdigit: '0-9A-Fa-f',
  space: '\\t\\n\\v\\f\\r ',
  punct: '!-\\/:-@\\[-`{-~',
};

/** Compiles `pattern`; throws with a reason when it is not one. */
export function compileGoPattern(pattern: string): RegExp {
  // Flags at the very start hold for the whole pattern; JavaScript keeps them beside it.
  const flags = /^\(\?([ims]+)\)/.exec(pattern);
  const body = (flags === null ? pattern : pattern.slice(flags[0].length))
    .replaceAll('(?P<', '(?<')
    .replace(/\\A/g, '^')
    .replace(/\\z/g, '$')
    .replace(/\[:(\w+):\]/g, (whole, name: string) => POSIX[name] ?? whole);
  return new RegExp(body, flags?.[1] ?? '');
}

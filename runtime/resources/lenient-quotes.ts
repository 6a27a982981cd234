/**
 * A quoted text over several lines whose later lines are not indented: an error in YAML, accepted by Go's YAML library
 * and therefore found in resource files (a JSON object in single quotes, closed under the key it belongs to).
 */

/** Deeper than any mapping of a resource file; white space at the beginning of a folded line has no meaning. */
const INDENT = ' '.repeat(64);

/**
 * `text` with the lines of the text in `quote` indented that is open at position `at`; `undefined` when there is none.
 */
export function indentQuoted(text: string, quote: string, at: number): string | undefined {
  let start = -1;
  for (const match of text.slice(0, at).matchAll(/[:?-][ \t]+(['"])/g)) {
    if (match[1] === quote) start = match.index + match[0].length - 1;
  }
  if (start < 0) return undefined;
  const end = closingQuote(text, start, quote);
  if (end < at) return undefined;
  const lines = text.slice(start, end).replaceAll('\n', `\n${INDENT}`);
  return `${text.slice(0, start)}${lines}${text.slice(end)}`;
}

/** Position of the quote that closes the text opened at `start`; -1 when it stays open. */
function closingQuote(text: string, start: number, quote: string): number {
  for (let at = start + 1; at < text.length; at += 1) {
    const escaped = quote === '"' ? text[at] === '\\' : text[at] === quote && text[at + 1] === quote;
    if (escaped) at += 1;
    else if (text[at] === quote) return at;
  }
  return -1;
}

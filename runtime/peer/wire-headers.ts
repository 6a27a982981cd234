/**
 * Header lists as the maps of Dapr's internal protocol and back. Header values are bytes that Node shows as Latin-1;
 * the protocol wants UTF-8 text, so what is valid UTF-8 is carried as such.
 */

import type { HeaderList } from '../contracts/app-channel.ts';

/** Init shape of `map<string, ListStringValue>`. */
export type WireMap = Record<string, { readonly values: string[] }>;

// biome-ignore lint/suspicious/noControlCharactersInRegex: the range of ASCII
const ASCII = /^[\x00-\x7f]*$/;

/**
 * A map with the values of each name in order; names that differ in case only share one entry. With `canonical` names
 * of HTTP headers are spelled as Go spells them: Dapr compares some of them by case (`Accept` of event streams,
 * everything that gRPC apps get behind `dapr-`).
 */
export function toWireMap(headers: HeaderList, canonical = false): WireMap {
  // Names are the caller's: `__proto__` is one like any other.
  const map: WireMap = Object.create(null);
  const spelling = new Map<string, string>();
  for (const [name, value] of headers) {
    const lower = name.toLowerCase();
    const known = spelling.get(lower);
    if (known === undefined) {
      const spelled = canonical ? canonicalName(name, lower) : name;
      spelling.set(lower, spelled);
      map[spelled] = { values: [toWireText(value)] };
    } else {
      map[known]?.values.push(toWireText(value));
    }
  }
  return map;
}

const canonicalNames = new Map<string, string>();
const MAX_NAMES = 1024;

/** `x-mine` as `X-Mine`; the runtime's own `dapr-` names are lower case on this wire. */
function canonicalName(name: string, lower: string): string {
  if (lower.startsWith('dapr-')) return name;
  let canonical = canonicalNames.get(lower);
  if (canonical === undefined) {
    canonical = lower.replace(/(?:^|-)[a-z]/g, (start) => start.toUpperCase());
    if (canonicalNames.size < MAX_NAMES) canonicalNames.set(lower, canonical);
  }
  return canonical;
}

/** The list of a received map. */
export function fromWireMap(
  map: Readonly<Record<string, { readonly values: readonly string[] }>>,
): (readonly [string, string])[] {
  const list: (readonly [string, string])[] = [];
  for (const name in map) {
    for (const value of map[name]?.values ?? []) list.push([name, fromWireText(value)]);
  }
  return list;
}

function toWireText(value: string): string {
  if (ASCII.test(value)) return value;
  const text = Buffer.from(value, 'latin1').toString('utf8');
  return text.includes('\ufffd') ? value : text;
}

function fromWireText(value: string): string {
  return ASCII.test(value) ? value : Buffer.from(value, 'utf8').toString('latin1');
}

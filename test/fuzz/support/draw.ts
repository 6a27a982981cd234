/** Draws one fuzz input out of a seed: numbers, choices, texts that break things, JSON of any shape, damaged bytes. */

import { seededRandom } from '../../support/seeded-random.ts';

/** Texts that parsers, paths, headers and databases have stumbled over. */
const NASTY: readonly string[] = [
  '',
  ' ',
  '\u0000',
  '\n',
  '\r\nx-injected: 1',
  '.',
  '..',
  '../../etc/passwd',
  '/',
  '//',
  '||',
  'a||b',
  '%',
  '%2e%2e%2f',
  '%00',
  '%zz',
  '#',
  '+',
  '*',
  '?',
  '&',
  '$',
  '__proto__',
  'constructor',
  'toString',
  'null',
  'undefined',
  'NaN',
  '-1',
  '0',
  '1e999',
  '9007199254740993',
  '18446744073709551616',
  'true',
  '{}',
  '[]',
  '"',
  "'; DROP TABLE state; --",
  '\ud800',
  '\ufeff',
  '\u2028',
  'é',
  'ß𝒳',
  '日本',
  '\u202e',
];
const NUMBERS: readonly number[] = [
  0,
  -0,
  1,
  -1,
  0.5,
  127,
  128,
  255,
  256,
  65_535,
  65_536,
  2 ** 31 - 1,
  2 ** 31,
  -(2 ** 31),
  2 ** 32,
  2 ** 53,
  -(2 ** 53),
  1e21,
  5e-324,
  1.7976931348623157e308,
];

/** One input's source of randomness. */
export class Draw {
  readonly seed: number;
  readonly #float: () => number;

  constructor(seed: number) {
    this.seed = seed >>> 0;
    this.#float = seededRandom(this.seed).float;
  }

  /** An integer from `low` up to `high`, both included. */
  int(low: number, high: number): number {
    return low + Math.floor(this.#float() * (high - low + 1));
  }

  chance(share: number): boolean {
    return this.#float() < share;
  }

  pick<T>(choices: readonly T[]): T {
    return choices[this.int(0, choices.length - 1)] as T;
  }

  /** Small most of the time, `most` at worst. */
  size(most: number): number {
    return this.chance(0.9) ? this.int(0, Math.min(most, 12)) : this.int(0, most);
  }

  list<T>(most: number, make: (index: number) => T): T[] {
    return Array.from({ length: this.size(most) }, (_, index) => make(index));
  }

  bytes(length: number): Buffer {
    const bytes = Buffer.allocUnsafe(length);
    for (let at = 0; at < length; at += 1) bytes[at] = this.int(0, 255);
    return bytes;
  }

  word(): string {
    return Array.from({ length: this.int(1, 8) }, () => String.fromCharCode(this.int(97, 122))).join('');
  }

  /** Any text: a word, something nasty, something long, random characters. */
  text(most = 2000): string {
    const kind = this.int(0, 9);
    if (kind < 3) return this.word();
    if (kind < 7) return this.pick(NASTY);
    if (kind < 8) return this.pick(['x', 'é', '/', '%41', '\u0001', '{']).repeat(this.int(0, most));
    if (kind < 9) return `${this.word()}${this.pick(NASTY)}${this.word()}`;
    return String.fromCharCode(...Array.from({ length: this.int(0, 30) }, () => this.int(0, 0xffff)));
  }

  number(): number {
    return this.chance(0.6) ? this.pick(NUMBERS) : this.int(-1000, 1000);
  }

  /** Any JSON value. */
  json(depth = 3): unknown {
    const kind = this.int(0, depth > 0 ? 9 : 6);
    if (kind < 2) return this.text(200);
    if (kind < 4) return this.number();
    if (kind < 5) return this.chance(0.5);
    if (kind < 6) return null;
    if (kind < 7) return this.word();
    if (kind < 8) return this.list(30, () => this.json(depth - 1));
    return Object.fromEntries(this.list(8, () => [this.text(50), this.json(depth - 1)]));
  }

  /** JSON text: valid most of the time; else cut, doubled, damaged, or nested beyond reason. */
  jsonText(value: unknown = this.json()): string {
    const text = JSON.stringify(value) ?? 'null';
    if (this.chance(0.75)) return text;
    const kind = this.int(0, 5);
    if (kind === 0) return text.slice(0, this.int(0, text.length));
    if (kind === 1) return text + text;
    if (kind === 2) return this.mutate(Buffer.from(text)).toString('latin1');
    if (kind === 3) return nested(this, text);
    if (kind === 4) return `\ufeff${text}`;
    return text.replaceAll(':', this.pick([',', '=', ': :', ':-']));
  }

  /** A few bytes changed, inserted, removed or repeated. */
  mutate(given: Uint8Array): Buffer {
    let bytes = Buffer.from(given);
    for (let left = this.int(1, 4); left > 0; left -= 1) {
      const at = this.int(0, bytes.length);
      const kind = this.int(0, 5);
      if (kind === 0 && at < bytes.length) bytes[at] = this.int(0, 255);
      else if (kind === 1)
        bytes = Buffer.concat([bytes.subarray(0, at), this.bytes(this.int(1, 8)), bytes.subarray(at)]);
      else if (kind === 2)
        bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + this.int(1, 8))]);
      else if (kind === 3) bytes = bytes.subarray(0, at);
      else if (kind === 4 && at < bytes.length) bytes[at] = this.pick([0, 1, 0x7f, 0x80, 0xff]);
      else bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(Math.max(0, at - 20))]);
      bytes = Buffer.from(bytes);
    }
    return bytes;
  }
}

function nested(draw: Draw, inner: string): string {
  const depth = draw.pick([50, 600, 20_000]);
  const [open, close] = draw.pick([
    ['[', ']'],
    ['{"a":', '}'],
  ] as const);
  return open.repeat(depth) + inner + (draw.chance(0.8) ? close.repeat(depth) : '');
}

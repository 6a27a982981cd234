/**
 * W3C Baggage, section 3.3, with the limits and the wording of OpenTelemetry's parser, whose messages daprd's callers
 * see. Baggage is never merged or made here: what came in is checked and handed on.
 */

interface Property {
  readonly key: string;
  readonly value: string | undefined;
}

interface Member {
  readonly value: string;
  /** An empty place between two semicolons is `undefined`. */
  readonly properties: readonly (Property | undefined)[];
}

const KEY = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const VALUE = /^[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]*$/;
const ESCAPED_IN_VALUE = /[^\x21\x23\x24\x26-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]/gu;
const PROPERTY =
  /^[ \t]*([!#$%&'*+\-.^_`|~0-9A-Za-z]+)[ \t]*(?:=[ \t]*([\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]*)[ \t]*)?$/;
const MAX_BYTES = 8192;
const MAX_MEMBERS = 64;
const MAX_TOLD = 5;

class BaggageFault extends Error {
  override readonly name = 'BaggageFault';
}

/** As Go quotes a text; header values arrive one character a byte. */
function quoted(text: string): string {
  return JSON.stringify(Buffer.from(text, 'latin1').toString('utf8'));
}

/** Decoded percent escapes; bytes that are no UTF-8 become U+FFFD. */
function unescaped(text: string): string {
  if (!text.includes('%')) return text;
  const wrong = /%(?![0-9a-fA-F]{2}).{0,2}/.exec(text);
  if (wrong !== null) throw new BaggageFault(`invalid value: invalid URL escape ${quoted(wrong[0])}`);
  const bytes = text.replace(/%([0-9a-fA-F]{2})/g, (_all, code: string) =>
    String.fromCharCode(Number.parseInt(code, 16)),
  );
  return Buffer.from(bytes, 'latin1').toString('utf8');
}

function propertyOf(text: string): Property | undefined {
  if (text === '') return undefined;
  const match = PROPERTY.exec(text);
  try {
    if (match !== null)
      return { key: match[1] ?? '', value: match[2] === undefined ? undefined : unescaped(match[2]) };
  } catch {
    // Told as a fault of the whole property.
  }
  throw new BaggageFault(`invalid baggage list-member property: ${quoted(text)}`);
}

function memberOf(text: string): readonly [key: string, member: Member] {
  const [pair = '', ...rest] = text.split(';');
  const properties = rest.map(propertyOf);
  const equals = pair.indexOf('=');
  if (equals < 0) throw new BaggageFault(`invalid baggage list-member: ${quoted(text)}`);
  const key = pair.slice(0, equals).trim();
  if (!KEY.test(key)) throw new BaggageFault(`invalid key: ${quoted(key)}`);
  const given = pair.slice(equals + 1);
  const value = given.trim();
  if (!VALUE.test(value)) throw new BaggageFault(`invalid value: ${quoted(given)}`);
  return [key, { value: unescaped(value), properties }];
}

export type ParsedBaggage =
  | { readonly members: ReadonlyMap<string, Member>; readonly fault?: undefined }
  | { readonly fault: string };

/** Members by key, the last of equal keys; or what is wrong with the text. */
export function parseBaggage(text: string): ParsedBaggage {
  const members = new Map<string, Member>();
  if (text === '') return { members };
  if (text.length > MAX_BYTES) return { fault: `baggage-string too large: ${text.length}` };
  const faults: string[] = [];
  let wrong = 0;
  for (const part of text.split(',')) {
    if (members.size >= MAX_MEMBERS) {
      faults.push('too many list-members in baggage-string');
      break;
    }
    try {
      members.set(...memberOf(part));
    } catch (error) {
      if (!(error instanceof BaggageFault)) throw error;
      wrong += 1;
      if (wrong <= MAX_TOLD) faults.push(error.message);
    }
  }
  if (wrong > MAX_TOLD) faults.push(`and ${wrong - MAX_TOLD} more invalid member(s)`);
  return faults.length === 0 ? { members } : { fault: faults.join('\n') };
}

/** What is wrong with a baggage header, or `undefined`. */
export function baggageFault(text: string): string | undefined {
  return parseBaggage(text).fault;
}

function escapedValue(value: string): string {
  return value.replace(ESCAPED_IN_VALUE, (char) =>
    Array.from(Buffer.from(char), (byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`).join(''),
  );
}

/** The canonical text: no white space, one member for each key, values escaped. */
export function formatBaggage(members: ReadonlyMap<string, Member>): string {
  return Array.from(members, ([key, { value, properties }]) => {
    const known = properties
      .filter((property) => property !== undefined)
      .map((property) =>
        property.value === undefined ? property.key : `${property.key}=${escapedValue(property.value)}`,
      );
    return `${key}=${escapedValue(value)}${properties.length > 0 ? `;${known.join(';')}` : ''}`;
  }).join(',');
}

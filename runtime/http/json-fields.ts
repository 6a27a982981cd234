/** Decoding of plain JSON bodies: member names without regard to case, types checked, faults name the member. */

import type { StringMap } from '../contracts/blocks.ts';
import { parseGoJson } from '../contracts/go-json-fault.ts';

/** A body that is not what the endpoint takes; the text names the member and what was expected. */
export class FieldError extends Error {
  override readonly name = 'FieldError';
}

export type JsonObject = Readonly<Record<string, unknown>>;

/** JSON's own word for the type of a value. */
export function jsonType(value: unknown): string {
  if (value === null || value === undefined) return 'null';
  return Array.isArray(value) ? 'array' : typeof value;
}

/** Parses a body; an empty one is `EOF`, as Go's decoder calls it. */
export function parseJson(bytes: Uint8Array): unknown {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
  if (text.trim() === '') throw new FieldError('EOF');
  return withinRange(text, parseGoJson(text, 'unexpected EOF'));
}

/** What a number beyond a double's range looks like, and a few that are in it. */
const MAYBE_HUGE = /[0-9][eE]\+?[0-9]{3}|[0-9]{309}/;

/** `value`, which `text` says; a number beyond a double's range would be written as `null` later, so it is refused. */
export function withinRange(text: string, value: unknown): unknown {
  if (MAYBE_HUGE.test(text)) refuseHuge(value);
  return value;
}

function refuseHuge(value: unknown): void {
  const left: (readonly [place: string, value: unknown])[] = [['', value]];
  for (let next = left.pop(); next !== undefined; next = left.pop()) {
    const [place, one] = next;
    if (typeof one === 'number' && !Number.isFinite(one))
      throw new FieldError(
        `json: cannot unmarshal a number that is out of range into field ${place || 'body'} of type float64`,
      );
    if (typeof one !== 'object' || one === null) continue;
    for (const [name, member] of Object.entries(one)) left.push([within(place, name), member]);
  }
}

/** Place of a member in a text for people; only its end when it is long. */
export function within(place: string, name: string): string {
  return (place === '' ? name : `${place}.${name}`).slice(-LONGEST_PLACE);
}

const LONGEST_PLACE = 200;

/** A number instead of a name is the place in a list. */
export type FieldName = string | number;

export function mismatch(name: FieldName, expected: string, value: unknown): FieldError {
  const field = typeof name === 'number' ? `[${name}]` : name;
  return new FieldError(`json: cannot unmarshal ${jsonType(value)} into field ${field} of type ${expected}`);
}

/** `null` counts as an empty object. */
export function asObject(value: unknown, name: FieldName): JsonObject {
  if (value === null || value === undefined) return {};
  if (typeof value !== 'object' || Array.isArray(value)) throw mismatch(name, 'object', value);
  return value as JsonObject;
}

/** `null` counts as an empty list. */
export function asList(value: unknown, name: string): readonly unknown[] {
  if (value === null || value === undefined) return [];
  if (!Array.isArray(value)) throw mismatch(name, 'array', value);
  return value;
}

/** `null` counts as absent. */
export function asText(value: unknown, name: string): string | undefined {
  if (value === null || value === undefined) return undefined;
  if (typeof value !== 'string') throw mismatch(name, 'string', value);
  return value;
}

/** Go's int ends here. */
const INT64 = 2 ** 63;

export function asInteger(value: unknown, name: string): number | undefined {
  if (value === null || value === undefined) return undefined;
  if (typeof value !== 'number' || !Number.isInteger(value) || Math.abs(value) >= INT64)
    throw mismatch(name, 'int', value);
  return value;
}

export function asTextMap(value: unknown, name: string): StringMap {
  const given = asObject(value, name);
  for (const key of Object.keys(given)) {
    if (typeof given[key] === 'string') continue;
    if (given[key] !== null) throw mismatch(within(name, key), 'string', given[key]);
    return Object.fromEntries(Object.entries(given).map(([k, v]) => [k, asText(v, name) ?? '']));
  }
  return given as StringMap;
}

/** Own members of `value` that `names` lists (lower case), whatever case they were written in; the last one wins. */
export function pickMembers<N extends string>(
  value: unknown,
  what: FieldName,
  names: readonly N[],
): Partial<Record<N, unknown>> {
  const given = asObject(value, what);
  const found: Partial<Record<N, unknown>> = {};
  for (const key of Object.keys(given)) {
    let name = key as N;
    if (!names.includes(name)) {
      name = key.toLowerCase() as N;
      if (!names.includes(name)) continue;
    }
    found[name] = given[key];
  }
  return found;
}

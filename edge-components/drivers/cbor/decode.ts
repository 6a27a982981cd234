/**
 * CBOR payloads of devices as values that JSON can hold (RFC 8949, section 6.1): byte strings become base64 text, times
 * RFC 3339 text, integers beyond 2^53 decimal text; NaN, infinities and undefined become null; map keys become text;
 * other tags read as their content.
 */

import { Decoder, Tag } from 'cbor-x';
import { errorText } from '../../../runtime/contracts/error.ts';
import { plainForm } from './plain-form.ts';

const decoder = new Decoder({ useRecords: false, mapsAsObjects: false });

/** Decodes one item. Throws with a reason when `bytes` are not exactly one well-formed item. */
export function decodeCbor(bytes: Uint8Array): unknown {
  try {
    return jsonValue(decoder.decode(plainForm(bytes) as Buffer));
  } catch (error) {
    throw new Error(`not valid CBOR: ${errorText(error)}`, { cause: error });
  }
}

/** The depth of `value` was bounded before it was decoded. */
function jsonValue(value: unknown): unknown {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return value;
    case 'number':
      return Number.isFinite(value) ? value : null;
    case 'bigint':
      return Number.isSafeInteger(Number(value)) ? Number(value) : value.toString();
    case 'object':
      return value === null ? null : jsonObject(value);
    default:
      return null;
  }
}

function jsonObject(value: object): unknown {
  if (Array.isArray(value)) return value.map(jsonValue);
  if (value instanceof Map) return objectOf(value);
  if (value instanceof Uint8Array)
    return Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('base64');
  if (value instanceof globalThis.Date) return Number.isNaN(value.getTime()) ? null : value.toISOString();
  if (value instanceof Tag) return encodedBytes(value);
  if (ArrayBuffer.isView(value)) return Array.from(value as unknown as ArrayLike<unknown>, jsonValue);
  return null;
}

/** Tags 21 to 23 name the encoding that their byte string wants in JSON. */
function encodedBytes({ value, tag }: Tag): unknown {
  if (!(value instanceof Uint8Array)) return jsonValue(value);
  const bytes = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  if (tag === 21) return bytes.toString('base64url');
  return bytes.toString(tag === 23 ? 'hex' : 'base64');
}

function objectOf(map: ReadonlyMap<unknown, unknown>): Readonly<Record<string, unknown>> {
  const entries: [string, unknown][] = [];
  for (const [key, value] of map) {
    const plain = jsonValue(key);
    entries.push([typeof plain === 'string' ? plain : JSON.stringify(plain), jsonValue(value)]);
  }
  // Also a key such as `__proto__` becomes a member of its own this way.
  return Object.fromEntries(entries);
}

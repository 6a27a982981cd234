/**
 * Why bytes are no message of a type: which field, what was expected there, what came. Read once more, slowly, after the
 * decoder has refused them; the decoder's own words name no field (protobuf's wire format: varints, 32 and 64 bits, and
 * contents with their length in front).
 */

import { isUtf8 } from 'node:buffer';
import { type DescField, type DescMessage, ScalarType } from '@bufbuild/protobuf';

const VARINT = 0;
const FIXED64 = 1;
const LENGTH_DELIMITED = 2;
const GROUP = 3;
const GROUP_END = 4;
const FIXED32 = 5;
const VARINT_BYTES = 10;
const DEEPEST = 100;

const WIRE_NAMES: Readonly<Record<number, string>> = {
  [VARINT]: 'a varint',
  [FIXED64]: '8 bytes',
  [LENGTH_DELIMITED]: 'contents with a length',
  [GROUP]: 'a group',
  [GROUP_END]: 'the end of a group',
  [FIXED32]: '4 bytes',
};

const FOUR = new Set([ScalarType.FIXED32, ScalarType.SFIXED32, ScalarType.FLOAT]);
const EIGHT = new Set([ScalarType.FIXED64, ScalarType.SFIXED64, ScalarType.DOUBLE]);

/** The fault in a text, or undefined when there is none to be seen. */
export function wireFault(schema: DescMessage, bytes: Uint8Array): string | undefined {
  return faultIn(schema, bytes, '', 0);
}

interface Varint {
  readonly value: number;
  readonly next: number;
}

function readVarint(bytes: Uint8Array, start: number): Varint | undefined {
  let value = 0;
  for (let at = start; at < bytes.length && at < start + VARINT_BYTES; at += 1) {
    const byte = bytes[at] ?? 0;
    value += (byte & 127) * 2 ** (7 * (at - start));
    if (byte < 128) return { value, next: at + 1 };
  }
  return undefined;
}

/** One field as it lies in the bytes; `fault` is why what follows cannot be read. */
interface Piece {
  /** 0 when not even the number could be read. */
  readonly number: number;
  readonly wire: number;
  readonly content: Uint8Array;
  readonly fault?: string;
}

const NOTHING = new Uint8Array(0);

function* piecesOf(bytes: Uint8Array): Generator<Piece> {
  for (let at = 0; at < bytes.length; ) {
    const tag = readVarint(bytes, at);
    const [number, wire] = tag === undefined ? [0, 0] : [Math.floor(tag.value / 8), tag.value % 8];
    if (tag === undefined || number === 0 || WIRE_NAMES[wire] === undefined || wire === GROUP_END) {
      const fault =
        tag === undefined ? "ends in the middle of a field's number" : `no field begins at byte ${at}`;
      return yield { number: 0, wire, content: NOTHING, fault };
    }
    const content = contentAt(bytes, tag.next, wire);
    if (typeof content === 'string') return yield { number, wire, content: NOTHING, fault: content };
    yield { number, wire, content: bytes.subarray(content.start, content.end) };
    at = content.end;
  }
}

function faultIn(schema: DescMessage, bytes: Uint8Array, place: string, depth: number): string | undefined {
  const owner = place === '' ? schema.name : place;
  if (depth > DEEPEST) return `${owner}: nested too deeply`;
  for (const piece of piecesOf(bytes)) {
    const field = schema.fields.find(({ number }) => number === piece.number);
    const fault =
      field === undefined ? piece.fault : faultOfPiece(field, piece, join(place, field.name), depth);
    if (fault === undefined) continue;
    if (field !== undefined) return fault;
    return piece.number === 0 ? `${owner}: ${fault}` : `${owner}: unknown field ${piece.number}: ${fault}`;
  }
  return undefined;
}

function faultOfPiece(field: DescField, piece: Piece, name: string, depth: number): string | undefined {
  const { wire, fault, content } = piece;
  if (!fits(field, wire)) return `${name}: expected ${expectedOf(field)}, got ${WIRE_NAMES[wire]}`;
  if (fault !== undefined) return `${name}: ${fault}`;
  return wire === LENGTH_DELIMITED ? faultOfContent(field, content, name, depth) : undefined;
}

const join = (place: string, name: string): string => (place === '' ? name : `${place}.${name}`);

/** Where a field's content lies, or why it lies nowhere. */
function contentAt(
  bytes: Uint8Array,
  start: number,
  wire: number,
): { readonly start: number; readonly end: number } | string {
  if (wire === GROUP) return 'groups are not supported';
  const number = wire === VARINT || wire === LENGTH_DELIMITED ? readVarint(bytes, start) : undefined;
  if (wire === VARINT)
    return number === undefined ? 'ends in the middle of a number' : { start, end: number.next };
  if (wire === LENGTH_DELIMITED) {
    if (number === undefined) return 'ends in the middle of a length';
    const left = bytes.length - number.next;
    return number.value > left
      ? `announces ${number.value} bytes, ${left} follow`
      : { start: number.next, end: number.next + number.value };
  }
  const size = wire === FIXED32 ? 4 : 8;
  const left = bytes.length - start;
  return size > left ? `needs ${size} bytes, ${left} follow` : { start, end: start + size };
}

/** How a field's values look on the wire. */
function wireOf(field: DescField): number {
  if (field.fieldKind === 'map' || field.message !== undefined) return LENGTH_DELIMITED;
  if (field.enum !== undefined) return VARINT;
  const { scalar } = field;
  if (scalar === ScalarType.STRING || scalar === ScalarType.BYTES) return LENGTH_DELIMITED;
  if (scalar !== undefined && FOUR.has(scalar)) return FIXED32;
  return scalar !== undefined && EIGHT.has(scalar) ? FIXED64 : VARINT;
}

/** Lists of numbers may be packed. */
const fits = (field: DescField, wire: number): boolean =>
  wire === wireOf(field) || (wire === LENGTH_DELIMITED && field.fieldKind === 'list');

function expectedOf(field: DescField): string {
  if (field.fieldKind === 'map') return 'an entry of a map';
  if (field.message !== undefined) return `a message ${field.message.name}`;
  if (field.enum !== undefined) return `a value of ${field.enum.name}`;
  const name = ScalarType[field.scalar ?? ScalarType.BYTES].toLowerCase();
  return field.scalar === ScalarType.STRING ? 'a text (UTF-8)' : `a value of type ${name}`;
}

function faultOfContent(
  field: DescField,
  content: Uint8Array,
  name: string,
  depth: number,
): string | undefined {
  if (field.fieldKind === 'map') return faultOfEntry(field, content, name, depth);
  if (field.message !== undefined) return faultIn(field.message, content, name, depth + 1);
  return field.scalar === ScalarType.STRING && !isUtf8(content) ? `${name}: is not UTF-8` : undefined;
}

const KEY = 1;

/** An entry of a map is a message of two fields: key and value. */
function faultOfEntry(
  field: DescField & { readonly fieldKind: 'map' },
  bytes: Uint8Array,
  name: string,
  depth: number,
): string | undefined {
  for (const piece of piecesOf(bytes)) {
    const part = piece.number === KEY ? 'key' : 'value';
    const scalar = piece.number === KEY ? field.mapKey : field.scalar;
    const fault = piece.fault ?? (scalar === ScalarType.STRING ? textFault(piece) : undefined);
    if (fault !== undefined) return `${name}: the ${part} of an entry: ${fault}`;
    if (part === 'key' || field.message === undefined || piece.wire !== LENGTH_DELIMITED) continue;
    const inside = faultIn(field.message, piece.content, name, depth + 1);
    if (inside !== undefined) return inside;
  }
  return undefined;
}

function textFault({ wire, content }: Piece): string | undefined {
  if (wire !== LENGTH_DELIMITED) return 'is no text';
  return isUtf8(content) ? undefined : 'is not UTF-8';
}

/**
 * A queued message as its row holds it. What lies on the card twice (in the log and in the file) is kept short: id, the
 * usual headers as one byte each, payload, all in one record with one checksum. The time of acceptance is in the id
 * already (UUIDs of version 7, RFC 9562 section 5.7).
 *
 *   record = id (16 bytes), number of headers (1), each name and value as a word, payload
 *   word   = 1 to 127: one of WORDS; 0: its length (4 bytes, big-endian) and its UTF-8 bytes
 *
 * Rows of earlier versions, and rows whose id is none, have the column `id` filled and a record in CBOR.
 */

import { crc32 } from 'node:zlib';
import type { SqlValue } from '../../../runtime/contracts/database.ts';
import { type CborRecord, decodeRecord, encodeRecord } from '../cbor/record.ts';
import { idBytes } from './spool-gone.ts';

type Row = Readonly<Record<string, SqlValue>>;

/** Columns of a row that hold one message. */
export interface StoredRecord {
  readonly id: string;
  readonly acceptedAt: number;
  readonly record: Uint8Array;
  readonly crc: number;
}

const ID_BYTES = 16;
const MAX_HEADERS = 255;

/** Numbered from 1 for ever: what is on disk refers to them. New ones go to the end. */
const WORDS = [
  'operation',
  'create',
  'get',
  'delete',
  'list',
  'contentType',
  'application/json',
  'application/octet-stream',
  'text/plain',
  'application/cloudevents+json',
  'topic',
  'm.ttlInSeconds',
  'm.partitionKey',
  'm.priority',
  'm.rawPayload',
  'true',
  'false',
  'm.key',
  'm.path',
  'm.topic',
  'text/plain; charset=utf-8',
  'application/json; charset=utf-8',
  'm.traceparent',
  'm.tracestate',
];
const NUMBERS = new Map(WORDS.map((word, at) => [word, at + 1]));

export function storedRecord(id: string, acceptedAt: number, message: CborRecord): StoredRecord {
  const bytes = idBytes(id);
  const headers = Object.entries(message.headers);
  // The form of the id as text must come back as it was.
  if (bytes.length === 0 || headers.length > MAX_HEADERS || textOf(bytes) !== id) {
    const record = encodeRecord(message);
    return { id, acceptedAt, record, crc: crcOf(record) };
  }
  const record = compact(bytes, headers, message.payload);
  return { id: '', acceptedAt: timeOf(bytes) === acceptedAt ? 0 : acceptedAt, record, crc: crcOf(record) };
}

/** The id of a row that has the columns `id` and `record`, or `head` with the beginning of the record. */
export function idOf(row: Row): string {
  return row['id'] === '' ? textOf(headOf(row)) : String(row['id']);
}

/** The time at which the message of such a row was accepted. */
export function acceptedAtOf(row: Row): number {
  const stored = Number(row['accepted_at']);
  return stored === 0 && row['id'] === '' ? timeOf(headOf(row)) : stored;
}

/** Headers and payload; throws when the record is damaged. */
export function recordOf(row: Row): CborRecord {
  const record = row['record'] as Uint8Array;
  const crc = row['crc'];
  if (typeof crc === 'number' && crc >>> 0 !== crc32(record)) throw new Error('its checksum does not match');
  return contentOf(row);
}

/** The same without a look at the checksum, for whoever wants to see what is left of a damaged one. */
export function contentOf(row: Row): CborRecord {
  const record = row['record'] as Uint8Array;
  return row['id'] === '' ? expand(record) : decodeRecord(record);
}

/** Signed: half of all unsigned ones would take two bytes more. */
function crcOf(record: Uint8Array): number {
  return crc32(record) | 0;
}

function headOf(row: Row): Buffer {
  const bytes = (row['head'] ?? row['record']) as Uint8Array;
  return Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.byteLength, ID_BYTES));
}

function textOf(id: Buffer): string {
  const hex = id.toString('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

function timeOf(id: Buffer): number {
  return id.length < 6 ? 0 : id.readUIntBE(0, 6);
}

function compact(
  id: Buffer,
  headers: readonly (readonly [string, string])[],
  payload: Uint8Array,
): Uint8Array {
  let length = ID_BYTES + 1 + payload.byteLength;
  for (const header of headers) for (const word of header) length += wordLength(word);
  // Memory of its own: it travels to another thread.
  const record = Buffer.from(new ArrayBuffer(length));
  id.copy(record);
  record[ID_BYTES] = headers.length;
  let at = ID_BYTES + 1;
  for (const header of headers) for (const word of header) at = writeWord(record, at, word);
  record.set(payload, at);
  return new Uint8Array(record.buffer);
}

function wordLength(word: string): number {
  return NUMBERS.has(word) ? 1 : 5 + Buffer.byteLength(word);
}

function writeWord(record: Buffer, at: number, word: string): number {
  const number = NUMBERS.get(word);
  if (number !== undefined) {
    record[at] = number;
    return at + 1;
  }
  const length = record.write(word, at + 5);
  record.writeUInt32BE(length, at + 1);
  return at + 5 + length;
}

function expand(bytes: Uint8Array): CborRecord {
  const record = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const count = record[ID_BYTES];
  if (count === undefined) throw new Error('not a message record');
  let at = ID_BYTES + 1;
  const readWord = (): string => {
    const number = record.readUInt8(at);
    at += 1;
    if (number > 0) {
      const word = WORDS[number - 1];
      if (word === undefined) throw new Error('not a message record');
      return word;
    }
    const length = record.readUInt32BE(at);
    const from = at + 4;
    if (from + length > record.length) throw new Error('not a message record');
    at = from + length;
    return record.toString('utf8', from, at);
  };
  const headers: Record<string, string> = {};
  for (let header = 0; header < count; header += 1) {
    const name = readWord();
    headers[name] = readWord();
  }
  return { headers, payload: record.subarray(at) };
}

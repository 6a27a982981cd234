/**
 * The rows of a damaged SQLite file, taken from its pages without SQLite (https://www.sqlite.org/fileformat2.html). Each
 * table is walked from its root; a page that is no page of its kind costs the rows on it and no more.
 */

import type { SqlValue } from '../../../runtime/contracts/database.ts';

const INDEX_INTERIOR = 2;
const TABLE_INTERIOR = 5;
const INDEX_LEAF = 10;
const TABLE_LEAF = 13;
const MAX_DEPTH = 40;
const MAX_PAYLOAD = 1024 * 1024 * 1024;

/** Content of a page as of the last certain transaction; undefined beyond the end of the file. */
export type ReadPage = (page: number) => Buffer | undefined;

export interface TreeRow {
  /** Of table trees. */
  readonly rowid?: number | bigint;
  readonly values: readonly SqlValue[];
}

export interface TreeWalk {
  readonly rows: Iterable<TreeRow>;
  /** Pages that could not be read as what they should be; complete once `rows` was read to its end. */
  readonly damaged: number[];
  /** A lost page may have had further pages below it. */
  readonly holed: () => boolean;
}

type Kind = 'table' | 'index';
type Lost = (page: number, mayHoldMore: boolean) => void;

export class DamagedTrees {
  readonly #read: ReadPage;
  readonly #usable: number;
  readonly #pageSize: number;
  /** Pages that belong to some tree. */
  readonly #seen = new Set<number>();

  constructor(read: ReadPage, pageSize: number, reserved: number) {
    this.#read = read;
    this.#pageSize = pageSize;
    this.#usable = pageSize - reserved;
  }

  /** The rows below `root`: of a table (with row ids) or of an index or table without row ids. */
  walk(root: number, kind: 'table' | 'index'): TreeWalk {
    const damaged: number[] = [];
    let holed = false;
    const lost = (page: number, mayHoldMore: boolean): void => {
      damaged.push(page);
      holed ||= mayHoldMore;
    };
    return { rows: this.#below(root, kind, 0, lost), damaged, holed: () => holed };
  }

  /** Rows of leaf pages that no tree led to, for trees with holes. `free` pages hold what was deleted. */
  *orphans(
    kind: 'table' | 'index',
    pageCount: number,
    free: ReadonlySet<number>,
  ): Iterable<{ page: number; rows: TreeRow[] }> {
    for (let page = 2; page <= pageCount; page += 1) {
      if (this.#seen.has(page) || free.has(page)) continue;
      const bytes = this.#read(page);
      if (bytes?.[0] !== (kind === 'table' ? TABLE_LEAF : INDEX_LEAF)) continue;
      const cells = this.#cells(bytes, 0);
      if (cells === undefined) continue;
      const rows = cells.map((cell) => this.#row(bytes, cell, kind));
      yield { page, rows: rows.filter((row) => row !== undefined) };
    }
  }

  /** The pages on the free list; undefined when the list is damaged. */
  freePages(): ReadonlySet<number> | undefined {
    const header = this.#read(1);
    if (header === undefined) return undefined;
    const free = new Set<number>();
    const count = header.readUInt32BE(36);
    for (let trunk = header.readUInt32BE(32); trunk !== 0; ) {
      const bytes = this.#read(trunk);
      if (bytes === undefined || free.has(trunk)) return undefined;
      free.add(trunk);
      const leaves = bytes.readUInt32BE(4);
      if (leaves > this.#usable / 4 - 2) return undefined;
      for (let index = 0; index < leaves; index += 1) free.add(bytes.readUInt32BE(8 + index * 4));
      trunk = bytes.readUInt32BE(0);
    }
    return free.size === count ? free : undefined;
  }

  *#below(page: number, kind: Kind, depth: number, lost: Lost): Iterable<TreeRow> {
    const bytes = this.#seen.has(page) || depth > MAX_DEPTH ? undefined : this.#read(page);
    const start = page === 1 ? 100 : 0;
    const type = bytes?.[start];
    const inner = type === (kind === 'table' ? TABLE_INTERIOR : INDEX_INTERIOR);
    if (bytes === undefined || !(inner || type === (kind === 'table' ? TABLE_LEAF : INDEX_LEAF))) {
      lost(page, true);
      return;
    }
    this.#seen.add(page);
    const cells = this.#cells(bytes, start);
    if (cells === undefined) {
      lost(page, inner);
      return;
    }
    if (inner) yield* this.#inner(bytes, cells, kind, depth, lost);
    else if (!(yield* this.#leaf(bytes, cells, kind))) lost(page, false);
    if (inner) yield* this.#below(bytes.readUInt32BE(start + 8), kind, depth + 1, lost);
  }

  *#inner(bytes: Buffer, cells: readonly number[], kind: Kind, depth: number, lost: Lost): Iterable<TreeRow> {
    for (const cell of cells) {
      if (cell + 4 > bytes.length) {
        lost(0, true);
        continue;
      }
      yield* this.#below(bytes.readUInt32BE(cell), kind, depth + 1, lost);
      // Inner pages of an index hold rows of their own.
      const row = kind === 'index' ? this.#row(bytes, cell + 4, kind) : undefined;
      if (row !== undefined) yield row;
    }
  }

  /** False when a row could not be read. */
  *#leaf(bytes: Buffer, cells: readonly number[], kind: Kind): Generator<TreeRow, boolean> {
    let whole = true;
    for (const cell of cells) {
      const row = this.#row(bytes, cell, kind);
      if (row === undefined) whole = false;
      else yield row;
    }
    return whole;
  }

  /** Offsets of the cells of a page; undefined when they make no sense. */
  #cells(bytes: Buffer, start: number): number[] | undefined {
    const type = bytes[start] as number;
    const count = bytes.readUInt16BE(start + 3);
    const first = start + (type === TABLE_INTERIOR || type === INDEX_INTERIOR ? 12 : 8);
    if (first + count * 2 > this.#usable) return undefined;
    const cells: number[] = [];
    for (let index = 0; index < count; index += 1) {
      const cell = bytes.readUInt16BE(first + index * 2);
      // One wrong pointer is one lost row; it is left to the reader of the row to find out.
      cells.push(cell < first + count * 2 || cell + 4 > this.#usable ? this.#pageSize : cell);
    }
    return cells;
  }

  #row(bytes: Buffer, cell: number, kind: Kind): TreeRow | undefined {
    try {
      const reader = new Reader(bytes, cell);
      const length = Number(reader.varint());
      const rowid = kind === 'table' ? reader.varint() : undefined;
      if (length > MAX_PAYLOAD) return undefined;
      const payload = this.#payload(bytes, reader.at, length, kind);
      const values = payload === undefined ? undefined : recordValues(payload);
      if (values === undefined) return undefined;
      return rowid === undefined ? { values } : { rowid: plain(rowid), values };
    } catch {
      return undefined; // It read beyond the page.
    }
  }

  #payload(bytes: Buffer, at: number, length: number, kind: 'table' | 'index'): Buffer | undefined {
    const usable = this.#usable;
    const most = kind === 'table' ? usable - 35 : Math.floor(((usable - 12) * 64) / 255) - 23;
    const least = Math.floor(((usable - 12) * 32) / 255) - 23;
    let local = length;
    if (length > most) {
      const surplus = least + ((length - least) % (usable - 4));
      local = surplus <= most ? surplus : least;
    }
    if (at + local + (local < length ? 4 : 0) > usable) return undefined;
    if (local === length) return bytes.subarray(at, at + local);
    const parts = [bytes.subarray(at, at + local)];
    let page = bytes.readUInt32BE(at + local);
    for (let left = length - local; left > 0; ) {
      const overflow = page === 0 || this.#seen.has(page) ? undefined : this.#read(page);
      if (overflow === undefined) return undefined;
      this.#seen.add(page);
      const take = Math.min(left, usable - 4);
      parts.push(overflow.subarray(4, 4 + take));
      left -= take;
      page = overflow.readUInt32BE(0);
    }
    return Buffer.concat(parts);
  }
}

class Reader {
  readonly #bytes: Buffer;
  at: number;

  constructor(bytes: Buffer, at: number) {
    this.#bytes = bytes;
    this.at = at;
  }

  varint(): bigint {
    let value = 0n;
    for (let index = 0; index < 9; index += 1) {
      const byte = this.#bytes[this.at];
      if (byte === undefined) throw new RangeError('beyond the page');
      this.at += 1;
      if (index === 8) return BigInt.asIntN(64, (value << 8n) | BigInt(byte));
      value = (value << 7n) | BigInt(byte & 127);
      if ((byte & 128) === 0) break;
    }
    return value;
  }
}

/** The values of a record; undefined when its lengths do not add up. */
function recordValues(payload: Buffer): SqlValue[] | undefined {
  const reader = new Reader(payload, 0);
  const headerLength = Number(reader.varint());
  if (headerLength > payload.length) return undefined;
  const types: number[] = [];
  while (reader.at < headerLength) types.push(Number(reader.varint()));
  if (reader.at !== headerLength) return undefined;
  let at = headerLength;
  const values: SqlValue[] = [];
  for (const type of types) {
    const size = sizeOf(type);
    if (size === undefined || at + size > payload.length) return undefined;
    values.push(columnValue(type, payload.subarray(at, at + size)));
    at += size;
  }
  return at === payload.length ? values : undefined;
}

const INTEGER_SIZES = [0, 1, 2, 3, 4, 6, 8, 8, 0, 0];

function sizeOf(type: number): number | undefined {
  if (type < 10) return INTEGER_SIZES[type];
  return type < 12 ? undefined : (type - 12 - (type & 1)) / 2;
}

function columnValue(type: number, bytes: Buffer): SqlValue {
  if (type === 0) return null;
  if (type === 7) return bytes.readDoubleBE(0);
  if (type === 8 || type === 9) return type - 8;
  if (type === 6) return plain(bytes.readBigInt64BE(0));
  if (type < 6) return bytes.readIntBE(0, bytes.length);
  return type % 2 === 0 ? new Uint8Array(bytes) : bytes.toString('utf8');
}

function plain(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

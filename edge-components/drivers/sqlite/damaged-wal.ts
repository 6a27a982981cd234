/**
 * A WAL read without SQLite (https://www.sqlite.org/walformat.html). SQLite stops at the first frame that does not fit;
 * that is right for the end that a power cut leaves, and loses everything behind a damaged frame. The two differ: a
 * transaction begins only after the one before it was synced, so damage with a later transaction behind it is damage.
 */

import { PAGE_SIZE } from './page-size.ts';
import { readAt, withFile } from './read-file.ts';
import { knownSchema } from './schema-copy.ts';

const WAL_HEADER = 32;
const FRAME_HEADER = 24;
const MAGIC = 0x377f0682;
/** Frames looked at for the salt when the header is lost. */
const LOOKS_FOR_SALT = 64;

export interface WalScan {
  readonly pageSize: number;
  /** Offset in the WAL of the newest good content of each page, as of the last certain transaction. */
  readonly pages: ReadonlyMap<number, number>;
  /** Frames that were synced once and are unreadable now. */
  readonly damagedFrames: number;
}

interface Frame {
  readonly page: number;
  readonly offset: number;
  readonly commit: boolean;
  /** Of the current generation, by its salt. */
  readonly ours: boolean;
  readonly good: boolean;
}

/** Reads a WAL; undefined when there is none or it is empty. */
export function scanWal(path: string): WalScan | undefined {
  return withFile(path, (file, size) => {
    if (size < WAL_HEADER + FRAME_HEADER + 512) return undefined;
    const header = readAt(file, 0, WAL_HEADER);
    const magic = header.readUInt32BE(0);
    const bigEndian = magic === MAGIC + 1;
    // The sum of nothing but zeros is zero: they are no header.
    const headerGood =
      (magic === MAGIC || bigEndian) &&
      isSum(checksum(header.subarray(0, 24), bigEndian, [0, 0]), header, 24);
    const pageSize = (headerGood ? pageSizeOf(header.readUInt32BE(8)) : undefined) ?? pageSizeOfFile(path);
    const frames = readFrames(file, size, { header, headerGood, bigEndian, pageSize });
    return { pageSize, ...newestPages(frames) };
  });
}

/** A power of two from 512 to 65536, else undefined. */
export function pageSizeOf(value: number): number | undefined {
  const size = value === 1 ? 65_536 : value;
  return size >= 512 && size <= 65_536 && (size & (size - 1)) === 0 ? size : undefined;
}

/** What the file beside the log says, or what was noted of it. */
function pageSizeOfFile(walPath: string): number {
  const path = walPath.replace(/-wal$/, '');
  const inHeader = withFile(path, (file, size) => (size < 18 ? 0 : readAt(file, 16, 2).readUInt16BE(0)));
  return pageSizeOf(inHeader ?? 0) ?? knownSchema(path)?.pageSize ?? PAGE_SIZE;
}

function readFrames(
  file: number,
  size: number,
  wal: {
    readonly header: Buffer;
    readonly headerGood: boolean;
    readonly bigEndian: boolean;
    readonly pageSize: number;
  },
): Frame[] {
  const { header, headerGood, bigEndian, pageSize } = wal;
  const salt = headerGood ? header.subarray(16, 24) : saltOfFrames(file, size, bigEndian, pageSize);
  let seed: Sum = [header.readUInt32BE(24), header.readUInt32BE(28)];
  const frames: Frame[] = [];
  const frameSize = FRAME_HEADER + pageSize;
  for (let at = WAL_HEADER; at + frameSize <= size; at += frameSize) {
    const frame = readAt(file, at, frameSize);
    const sum = checksum(
      frame.subarray(FRAME_HEADER),
      bigEndian,
      checksum(frame.subarray(0, 8), bigEndian, seed),
    );
    const first = frames.length === 0;
    frames.push({
      page: frame.readUInt32BE(0),
      offset: at + FRAME_HEADER,
      commit: frame.readUInt32BE(4) !== 0,
      ours: frame.subarray(8, 16).equals(salt),
      // Behind a damaged header nothing vouches for the first frame; the second vouches for the rest.
      good: isSum(sum, frame, 16) || (first && !headerGood),
    });
    seed = [frame.readUInt32BE(16), frame.readUInt32BE(20)];
  }
  // A damaged header makes SQLite ignore everything behind it.
  if (!headerGood && frames.length > 0)
    frames.unshift({ page: 0, offset: 0, commit: false, ours: true, good: false });
  return frames;
}

/** The salt of the first frame that another one follows: what the lost header said. */
function saltOfFrames(file: number, size: number, bigEndian: boolean, pageSize: number): Buffer {
  const frameSize = FRAME_HEADER + pageSize;
  let seed: Sum | undefined;
  const end = Math.min(size, WAL_HEADER + LOOKS_FOR_SALT * frameSize);
  for (let at = WAL_HEADER; at + frameSize <= end; at += frameSize) {
    const frame = readAt(file, at, frameSize);
    const named = frame.readUInt32BE(0) !== 0;
    if (seed !== undefined && named) {
      const head = checksum(frame.subarray(0, 8), bigEndian, seed);
      if (isSum(checksum(frame.subarray(FRAME_HEADER), bigEndian, head), frame, 16))
        return frame.subarray(8, 16);
    }
    seed = named ? [frame.readUInt32BE(16), frame.readUInt32BE(20)] : undefined;
  }
  return readAt(file, WAL_HEADER + 8, 8);
}

function newestPages(frames: readonly Frame[]): Pick<WalScan, 'pages' | 'damagedFrames'> {
  const isRight = ({ ours, good }: Frame): boolean => ours && good;
  let certain = frames.findIndex((frame) => !isRight(frame));
  if (certain < 0) certain = frames.length;
  // The last commit that another one follows: up to it all was synced. Both must be readable: half a sector of an older
  // generation can look like a commit, and what a killed process left of a transaction may lie behind the last one.
  const isCommit = (frame: Frame): boolean => frame.commit && isRight(frame);
  const last = frames.findLastIndex(isCommit);
  const previous = last < 0 ? -1 : frames.slice(0, last).findLastIndex(isCommit);
  if (previous >= certain) certain = previous + 1;
  let damagedFrames = 0;
  const pages = new Map<number, number>();
  const take = (list: readonly Frame[]): void => {
    for (const frame of list) if (isRight(frame)) pages.set(frame.page, frame.offset);
  };
  for (const frame of frames.slice(0, certain)) if (!isRight(frame)) damagedFrames += 1;
  // Transactions of the certain part are whole but for damage; behind it only unbroken ones count.
  let from = 0;
  frames.forEach((frame, at) => {
    if (!frame.commit || at < from) return;
    const transaction = frames.slice(from, at + 1);
    if (at < certain || transaction.every(isRight)) take(transaction);
    if (at >= certain && !transaction.every(isRight)) from = frames.length;
    else from = at + 1;
  });
  return { pages, damagedFrames };
}

type Sum = readonly [number, number];

/** SQLite's checksum over pairs of 32-bit words. */
function checksum(bytes: Buffer, bigEndian: boolean, seed: Sum): Sum {
  let [a, b] = seed;
  if (bigEndian) {
    for (let at = 0; at + 8 <= bytes.length; at += 8) {
      a = (a + bytes.readUInt32BE(at) + b) >>> 0;
      b = (b + bytes.readUInt32BE(at + 4) + a) >>> 0;
    }
    return [a, b];
  }
  // Every supported machine is little-endian and so are its WALs; buffers here begin at multiples of eight.
  const words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length >> 2);
  for (let at = 0; at + 1 < words.length; at += 2) {
    a = (a + (words[at] as number) + b) >>> 0;
    b = (b + (words[at + 1] as number) + a) >>> 0;
  }
  return [a, b];
}

function isSum(sum: Sum, bytes: Buffer, at: number): boolean {
  return sum[0] === bytes.readUInt32BE(at) && sum[1] === bytes.readUInt32BE(at + 4);
}

/**
 * Compressed messages of one direction of a link. No compressor outlives its message: what a message is compressed against
 * is the end of what went before it, which both sides keep under a number for a while. A sender names only numbers that the
 * receiver is known to have kept; a receiver may forget at any time, and then says so (`UnknownBaseError`), whereupon the
 * message is sent once more without. So messages of parallel streams need no order, and an idle link costs nothing.
 */

import { promisify } from 'node:util';
import { constants, zstdCompress, zstdCompressSync, zstdDecompress, zstdDecompressSync } from 'node:zlib';
import { countPassing } from '../contracts/passing-bytes.ts';
import { WORDS } from './packing-words.ts';

/** Zstandard (RFC 8878), raw dictionaries, the words of `packing-words.ts`. */
export const PACKING = 'zstd-1';

/** What a message had to be compressed against is not here any more. */
export class UnknownBaseError extends Error {
  override readonly name = 'UnknownBaseError';
}

export interface Packed {
  readonly bytes: Uint8Array;
  /** Whether the receiver has it now, so that what comes may build on it. */
  settle(arrived: boolean): void;
}

export interface Packer {
  /** `route` tells messages that look alike; `alone`: against nothing that went before. */
  pack(message: Uint8Array, route: string, alone?: boolean): Promise<Packed>;
  /** Gives back what is held for messages to come. */
  release(): void;
}

export interface Unpacker {
  /** Rejects with `UnknownBaseError`, or with what is wrong with the message; never makes more than `most` bytes of it. */
  unpack(bytes: Uint8Array, most: number): Promise<Uint8Array>;
  /** Bytes that are held for messages to come. */
  readonly held: number;
  release(): void;
}

/** First byte of a message: as it is; or compressed, with the numbers of its base and of itself behind the byte. */
const PLAIN = 0;
const ZSTD = 1;
const HEAD_BYTES = 9;
/** End of the earlier messages that is kept. */
const KEPT_BYTES = 8 * 1024;
/** A sender builds on so many routes; a receiver keeps one more, for what crosses on the way. */
const MAX_ROUTES = 3;
const MAX_KEPT = MAX_ROUTES + 1;
/** Below this nothing is gained. */
const MIN_BYTES = 48;
/** Larger ones go to a thread. */
const SYNC_BYTES = 64 * 1024;
const MIN_CHUNK = 512;
const MAX_CHUNK = 64 * 1024;
const LEVEL = 3;
/** 4 MiB: nobody can have more than that set aside for one message. */
const MAX_WINDOW_LOG = 22;
const PACK = { [constants.ZSTD_c_compressionLevel]: LEVEL };
const UNPACK = { [constants.ZSTD_d_windowLogMax]: MAX_WINDOW_LOG };

const compress = promisify(zstdCompress);
const decompress = promisify(zstdDecompress);

interface Kept {
  readonly number: number;
  readonly tail: Buffer;
}

/** The end of what went before and this, in memory of its own: a piece of the pool would hold all of it. */
function tailOf(before: Buffer | undefined, message: Uint8Array): Buffer {
  const fromMessage = Math.min(message.byteLength, KEPT_BYTES);
  const fromBefore = Math.min(before?.length ?? 0, KEPT_BYTES - fromMessage);
  const tail = Buffer.allocUnsafeSlow(fromBefore + fromMessage);
  before?.copy(tail, 0, before.length - fromBefore);
  tail.set(message.subarray(message.byteLength - fromMessage), fromBefore);
  return tail;
}

/** A message by itself: nothing is kept of it on either side. */
export async function packAlone(message: Uint8Array): Promise<Uint8Array> {
  if (message.byteLength < MIN_BYTES) return plain(message).bytes;
  const packed = await compressed(message, WORDS);
  return packed.length + HEAD_BYTES > message.byteLength + 1 ? plain(message).bytes : framed(packed, 0, 0);
}

/** Room for the outcome; it is dead soon, and as large as it was made until it is collected. */
function chunkFor(bytes: number): number {
  const size = Math.min(MAX_CHUNK, Math.max(MIN_CHUNK, Math.ceil(bytes)));
  countPassing(size);
  return size;
}

async function compressed(message: Uint8Array, dictionary: Buffer): Promise<Buffer> {
  const { byteLength } = message;
  const options = {
    dictionary,
    params: PACK,
    pledgedSrcSize: byteLength,
    chunkSize: chunkFor(byteLength / 2),
  };
  return message.byteLength <= SYNC_BYTES
    ? zstdCompressSync(message, options)
    : await compress(message, options);
}

function framed(packed: Buffer, base: number, number: number): Buffer {
  const bytes = Buffer.allocUnsafe(HEAD_BYTES + packed.length);
  bytes[0] = ZSTD;
  bytes.writeUInt32BE(base, 1);
  bytes.writeUInt32BE(number, 5);
  packed.copy(bytes, HEAD_BYTES);
  return bytes;
}

/** For a side without a packing. */
export function plain(message: Uint8Array): Packed {
  const bytes = Buffer.allocUnsafe(message.byteLength + 1);
  bytes[0] = PLAIN;
  bytes.set(message, 1);
  return { bytes, settle: () => {} };
}

export function createPacker(): Packer {
  const routes = new Map<string, Kept>();
  /** Routes with a message under way that the receiver is to keep. */
  const keeping = new Set<string>();
  let last = 0;
  return {
    async pack(message, route, alone = false) {
      if (message.byteLength < MIN_BYTES) return plain(message);
      const base = alone ? undefined : routes.get(route);
      if (alone) routes.delete(route);
      const keep = !keeping.has(route);
      let number = 0;
      if (keep) {
        last = (last % 0xffff_ffff) + 1;
        number = last;
        keeping.add(route);
      }
      const packed = await compressed(message, base?.tail ?? WORDS);
      if (packed.length + HEAD_BYTES > message.byteLength + 1) {
        if (keep) keeping.delete(route);
        return plain(message);
      }
      return {
        bytes: framed(packed, base?.number ?? 0, number),
        settle: (arrived) => {
          if (!keep || !keeping.delete(route) || !arrived) return;
          routes.delete(route);
          routes.set(route, { number, tail: tailOf(base?.tail, message) });
          const oldest = routes.size > MAX_ROUTES ? routes.keys().next().value : undefined;
          if (oldest !== undefined) routes.delete(oldest);
        },
      };
    },
    release: () => {
      routes.clear();
      keeping.clear();
    },
  };
}

/** The parts of a compressed message; `undefined` for one as it is. Throws on everything else. */
function partsOf(
  bytes: Uint8Array,
): { readonly base: number; readonly number: number; readonly packed: Buffer } | undefined {
  if (bytes[0] === PLAIN) return undefined;
  if (bytes[0] !== ZSTD || bytes.byteLength < HEAD_BYTES)
    throw new Error('the message is not packed as agreed');
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return { base: view.readUInt32BE(1), number: view.readUInt32BE(5), packed: view.subarray(HEAD_BYTES) };
}

async function decompressed(packed: Buffer, dictionary: Buffer, most: number): Promise<Buffer> {
  const options = {
    dictionary,
    params: UNPACK,
    maxOutputLength: Math.max(1, most),
    chunkSize: chunkFor(packed.length * 4),
  };
  return packed.length <= SYNC_BYTES / 8
    ? zstdDecompressSync(packed, options)
    : await decompress(packed, options);
}

/** `mayKeep`: whether there is room for more of what is held. */
export function createUnpacker(mayKeep: () => boolean = () => true): Unpacker {
  const kept = new Map<number, Buffer>();
  /** Numbers that others were built on: they are still here for what crosses on the way, and go first. */
  const builtOn = new Set<number>();
  const forgetOne = (): void => {
    for (const number of [...builtOn, ...kept.keys()]) {
      builtOn.delete(number);
      if (kept.delete(number)) return;
    }
  };
  const baseOf = (number: number): Buffer | undefined => {
    const base = kept.get(number);
    if (number !== 0 && base === undefined) throw new UnknownBaseError('the base of the message is not kept');
    return base;
  };
  return {
    get held() {
      let sum = 0;
      for (const tail of kept.values()) sum += tail.length;
      return sum;
    },
    async unpack(bytes, most) {
      const parts = partsOf(bytes);
      if (parts === undefined) {
        if (bytes.byteLength - 1 > most) throw new Error(`the message is larger than ${most} bytes`);
        return bytes.subarray(1);
      }
      const base = baseOf(parts.base);
      const message = await decompressed(parts.packed, base ?? WORDS, most);
      if (parts.number !== 0 && mayKeep()) {
        if (kept.size >= MAX_KEPT) forgetOne();
        kept.set(parts.number, tailOf(base, message));
        if (base !== undefined) builtOn.add(parts.base);
      }
      return message;
    },
    release: () => {
      kept.clear();
      builtOn.clear();
    },
  };
}

/**
 * Checks that bytes are one well-formed CBOR item (RFC 8949, appendix C), nested no deeper than allowed, and brings it to
 * the plain form that the decoder is trusted with: strings in one piece, no tags but those whose meaning is wanted, no
 * simple values that nobody has assigned. What a device sends is data, and tags of the library that build objects or
 * share references never reach it.
 */

const MAX_DEPTH = 64;
/** Longer big numbers stay byte strings. */
const MAX_BIGNUM_BYTES = 64;
const NULL = Uint8Array.of(0xf6);

interface Frame {
  /** Items still to come; infinite when a break ends them. */
  left: number;
  readonly isMap: boolean;
  read: number;
}

interface Head {
  readonly major: number;
  readonly info: number;
  readonly value: number;
  readonly next: number;
}

/** The item in plain form; `bytes` themselves when they are in it already. Throws when they are not one item. */
export function plainForm(bytes: Uint8Array): Uint8Array {
  return new PlainForm(bytes).run();
}

class PlainForm {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #open: Frame[] = [];
  readonly #parts: Uint8Array[] = [];
  /** Bytes before this one are in `parts` or left out. */
  #copied = 0;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  run(): Uint8Array {
    let tagged = false;
    do {
      const start = this.#at;
      const head = this.#head(start);
      this.#at = head.next;
      tagged = head.major === 6;
      if (tagged) this.#tag(start, head);
      else if (this.#item(start, head)) this.#settle();
    } while (tagged || this.#open.length > 0);
    if (this.#at !== this.#bytes.length)
      throw new Error(`${this.#bytes.length - this.#at} bytes follow the item`);
    if (this.#copied === 0) return this.#bytes;
    this.#replace(this.#at, this.#at);
    return Buffer.concat(this.#parts);
  }

  #head(at: number): Head {
    const first = this.#bytes[at];
    if (first === undefined) throw truncated();
    const major = first >> 5;
    const info = first & 0x1f;
    if (info < 24) return { major, info, value: info, next: at + 1 };
    if (info === 31) return { major, info, value: Number.POSITIVE_INFINITY, next: at + 1 };
    if (info > 27) throw new Error(`byte ${at} is not the head of an item`);
    const next = at + 1 + (1 << (info - 24));
    if (next > this.#bytes.length) throw truncated();
    return { major, info, value: this.#argument(info, at + 1), next };
  }

  #argument(info: number, at: number): number {
    if (info === 24) return this.#view.getUint8(at);
    if (info === 25) return this.#view.getUint16(at);
    return info === 26 ? this.#view.getUint32(at) : Number(this.#view.getBigUint64(at));
  }

  /** Reads what follows a head that is no tag; true when the item is complete. */
  #item(start: number, head: Head): boolean {
    const { major, info } = head;
    if (major === 7) return this.#simple(start, head);
    if (major === 4 || major === 5) return this.#container(major === 5, head.value);
    const indefinite = info === 31;
    if (major < 2) {
      if (indefinite) throw new Error(`byte ${start} is not the head of an item`);
      return true;
    }
    if (indefinite) this.#joinString(start, major);
    else this.#skip(head.value);
    return true;
  }

  #container(isMap: boolean, count: number): boolean {
    if (this.#open.length >= MAX_DEPTH) throw new Error(`nested deeper than ${MAX_DEPTH} levels`);
    const left = isMap ? count * 2 : count;
    // Every item takes a byte at least: a count beyond that is a lie.
    if (Number.isFinite(left) && left > this.#bytes.length - this.#at) throw truncated();
    if (left === 0) return true;
    this.#open.push({ left, isMap, read: 0 });
    return false;
  }

  #simple(start: number, { info, value }: Head): boolean {
    if (info === 31) {
      const frame = this.#open.pop();
      if (frame === undefined || Number.isFinite(frame.left) || (frame.isMap && frame.read % 2 !== 0))
        throw new Error(`byte ${start} is a break in the wrong place`);
      return true;
    }
    if (info === 24 && value < 32) throw new Error(`byte ${start} is not the head of an item`);
    if (info < 20 || info === 24) this.#replace(start, this.#at, NULL);
    return true;
  }

  /** A string in pieces becomes one of known length. */
  #joinString(start: number, major: number): void {
    const pieces: Uint8Array[] = [];
    let length = 0;
    while (this.#bytes[this.#at] !== 0xff) {
      const piece = this.#head(this.#at);
      if (piece.major !== major || piece.info === 31)
        throw new Error(`byte ${this.#at} is not a piece of the string around it`);
      this.#at = piece.next;
      this.#skip(piece.value);
      pieces.push(this.#bytes.subarray(piece.next, this.#at));
      length += piece.value;
    }
    this.#at += 1;
    const head = Buffer.alloc(5);
    head[0] = (major << 5) | 26;
    head.writeUInt32BE(length, 1);
    this.#replace(start, this.#at, head, ...pieces);
  }

  #tag(start: number, { info, value }: Head): void {
    if (info === 31) throw new Error(`byte ${start} is not the head of an item`);
    if (!this.#wanted(value)) this.#replace(start, this.#at);
  }

  /** Whether the meaning of this tag is wanted and its content is what the tag is for. */
  #wanted(tag: number): boolean {
    if (this.#at >= this.#bytes.length) throw truncated();
    const { major, info, value } = this.#head(this.#at);
    if (tag === 1) return (major < 2 && info < 27) || (major === 7 && info > 24 && info < 28);
    if (major !== 2 || info === 31) return false;
    if (tag === 2 || tag === 3) return value <= MAX_BIGNUM_BYTES;
    if (tag === 21 || tag === 22 || tag === 23) return true;
    // Typed arrays (RFC 8746), those of single bytes aside: they read as byte strings.
    return tag >= 65 && tag <= 86 && tag !== 68 && tag !== 72 && tag !== 76 && tag !== 83;
  }

  #skip(length: number): void {
    if (length > this.#bytes.length - this.#at) throw truncated();
    this.#at += length;
  }

  #replace(from: number, to: number, ...by: readonly Uint8Array[]): void {
    if (from > this.#copied) this.#parts.push(this.#bytes.subarray(this.#copied, from));
    this.#parts.push(...by);
    this.#copied = to;
  }

  /** An item is complete: so may be what holds it. */
  #settle(): void {
    for (;;) {
      const frame = this.#open.at(-1);
      if (frame === undefined) return;
      frame.left -= 1;
      frame.read += 1;
      if (frame.left > 0) return;
      this.#open.pop();
    }
  }
}

function truncated(): Error {
  return new Error('the bytes end in the middle of an item');
}

/**
 * Cuts the incoming bytes into control packets (MQTT 5, section 2.1). Packets that lie whole in one chunk are handed
 * out as positions in it, without copying; one that is spread over chunks is joined once, when its end is there. Its
 * length is checked as soon as it is known, so that a large one is refused before it is received.
 */

import { malformed, ProtocolFault, REASON } from './fault.ts';

const EMPTY = Buffer.alloc(0);
const MAX_LENGTH_BYTES = 4;
const MAX_CHUNKS = 256;

/** After `next()` returned true: the packet's first byte and where its body lies in `buffer`. */
export class FrameReader {
  header = 0;
  buffer: Buffer = EMPTY;
  start = 0;
  end = 0;
  /** Larger packets are refused. */
  maxBytes: number;
  #position = 0;
  /** Chunks that follow `buffer`, while a packet is not complete. */
  #chunks: Buffer[] | undefined;
  #available = 0;
  #needed = 0;

  constructor(maxBytes: number) {
    this.maxBytes = maxBytes;
  }

  /** Bytes that were pushed and not handed out. */
  get buffered(): number {
    return this.#available;
  }

  /** The first byte that was not handed out. */
  get first(): number | undefined {
    return this.#available > 0 ? this.buffer[this.#position] : undefined;
  }

  push(chunk: Buffer): void {
    if (this.#available === 0) {
      this.buffer = chunk;
      this.#position = 0;
    } else {
      this.#chunks ??= [];
      this.#chunks.push(chunk);
      // Byte by byte is no way to make us hold a buffer for each.
      if (this.#chunks.length >= MAX_CHUNKS) this.#join();
    }
    this.#available += chunk.length;
  }

  /** Moves to the next complete packet; false when more bytes are needed. */
  next(): boolean {
    if (this.#available < Math.max(2, this.#needed)) return this.#wait(this.#needed);
    if (this.#chunks !== undefined) this.#join();
    const { buffer } = this;
    let at = this.#position + 1;
    let length = 0;
    for (let shift = 0; ; shift += 7) {
      if (shift === 7 * MAX_LENGTH_BYTES) throw malformed('the remaining length has more than four bytes');
      const byte = buffer[at];
      if (byte === undefined) return this.#wait(this.#available + 1);
      at += 1;
      length |= (byte & 127) << shift;
      if (byte < 128) break;
    }
    const total = at - this.#position + length;
    if (total > this.maxBytes) {
      const text = `a packet of ${total} bytes is larger than the ${this.maxBytes} that are accepted`;
      throw new ProtocolFault(REASON.packetTooLarge, text);
    }
    if (total > this.#available) return this.#wait(total);
    this.header = buffer[this.#position] as number;
    this.start = at;
    this.end = at + length;
    this.#position += total;
    this.#available -= total;
    this.#needed = 0;
    return true;
  }

  #wait(needed: number): false {
    this.#needed = needed;
    // Nothing is held on to while a connection is idle.
    if (this.#available === 0) this.buffer = EMPTY;
    return false;
  }

  #join(): void {
    const rest = this.buffer.subarray(this.#position);
    this.buffer = Buffer.concat([rest, ...(this.#chunks ?? [])]);
    this.#position = 0;
    this.#chunks = undefined;
  }
}

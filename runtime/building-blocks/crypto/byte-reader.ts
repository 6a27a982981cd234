/** Cuts a stream of chunks into lines and blocks of a fixed size, one block ahead so that the last one is known. */

export interface ByteReader {
  /** Bytes up to LF (not included), or `undefined` when the stream ends or `limit` is passed first. */
  line(limit: number): Promise<Buffer | undefined>;
  /** Blocks of `size` bytes; the last may be shorter (also empty when nothing is left at all). */
  blocks(size: number): AsyncGenerator<{ readonly block: Buffer; readonly last: boolean }>;
}

export function byteReader(source: AsyncIterable<Uint8Array>): ByteReader {
  const iterator = source[Symbol.asyncIterator]();
  let buffered: Buffer = Buffer.alloc(0);
  let ended = false;
  /** Reads until more than `size` bytes are there or the source ends; joined once, however small the chunks are. */
  const fill = async (size: number): Promise<void> => {
    if (ended || buffered.length > size) return;
    const parts: Uint8Array[] = [buffered];
    let total = buffered.length;
    while (total <= size) {
      const next = await iterator.next();
      if (next.done === true) {
        ended = true;
        break;
      }
      parts.push(next.value);
      total += next.value.length;
    }
    buffered = Buffer.concat(parts, total);
  };
  return {
    line: async (limit) => {
      for (;;) {
        const at = buffered.indexOf(10);
        if (at >= 0) {
          const line = buffered.subarray(0, at);
          buffered = buffered.subarray(at + 1);
          return line;
        }
        if (ended || buffered.length > limit) return undefined;
        await fill(buffered.length);
      }
    },
    blocks: async function* (size) {
      for (;;) {
        await fill(size);
        const last = ended && buffered.length <= size;
        const block = buffered.subarray(0, size);
        buffered = buffered.subarray(block.length);
        yield { block, last };
        if (last) return;
      }
    },
  };
}

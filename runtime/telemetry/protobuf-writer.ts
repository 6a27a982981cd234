/**
 * Writes protobuf messages back to front: the length of a nested message is known when its fields are written, so that
 * nothing is measured or copied twice. Fields of a message therefore appear in reverse order of the calls.
 */

const FIRST_BYTES = 64 * 1024;

export class ProtobufWriter {
  #buffer = Buffer.allocUnsafe(FIRST_BYTES);
  #at = FIRST_BYTES;

  /** What was written. */
  finish(): Uint8Array {
    return this.#buffer.subarray(this.#at);
  }

  message(field: number, write: () => void): void {
    const end = this.#buffer.length - this.#at;
    write();
    this.#varint(this.#buffer.length - this.#at - end);
    this.#tag(field, 2);
  }

  string(field: number, text: string): void {
    const bytes = Buffer.byteLength(text);
    this.#room(bytes);
    this.#buffer.write(text, this.#at);
    this.#varint(bytes);
    this.#tag(field, 2);
  }

  /** Bytes given as hexadecimal text. */
  hex(field: number, text: string): void {
    this.#room(text.length / 2);
    this.#buffer.write(text, this.#at, 'hex');
    this.#varint(text.length / 2);
    this.#tag(field, 2);
  }

  /** A whole number that is not negative. */
  integer(field: number, value: number): void {
    this.#varint(value);
    this.#tag(field, 0);
  }

  double(field: number, value: number): void {
    this.#room(8);
    this.#buffer.writeDoubleLE(value, this.#at);
    this.#tag(field, 1);
  }

  fixed64(field: number, value: bigint): void {
    this.#room(8);
    this.#buffer.writeBigUInt64LE(value, this.#at);
    this.#tag(field, 1);
  }

  fixed32(field: number, value: number): void {
    this.#room(4);
    this.#buffer.writeUInt32LE(value, this.#at);
    this.#tag(field, 5);
  }

  #tag(field: number, wireType: number): void {
    this.#varint(field * 8 + wireType);
  }

  #varint(value: number): void {
    let length = 1;
    for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) length += 1;
    this.#room(length);
    let rest = value;
    for (let i = 0; i < length; i += 1) {
      this.#buffer[this.#at + i] = (rest % 0x80) | (i + 1 < length ? 0x80 : 0);
      rest = Math.floor(rest / 0x80);
    }
  }

  /** Moves the start `bytes` to the front. */
  #room(bytes: number): void {
    if (this.#at < bytes) {
      const used = this.#buffer.length - this.#at;
      const larger = Buffer.allocUnsafe(Math.max(this.#buffer.length * 2, used + bytes));
      this.#buffer.copy(larger, larger.length - used, this.#at);
      this.#at = larger.length - used;
      this.#buffer = larger;
    }
    this.#at -= bytes;
  }
}

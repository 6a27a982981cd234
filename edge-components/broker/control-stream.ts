/**
 * The connection as aedes sees it: a stream that carries CONNECT and DISCONNECT only. What aedes answers comes back as
 * whole packets; when it ends the stream, the connection ends.
 */

import { Duplex } from 'node:stream';
import { FrameReader } from './wire/frames.ts';

export interface ControlEnd {
  /** A packet from aedes: its first byte, its body. */
  fromAedes(header: number, body: Buffer): void;
  /** aedes is done with the connection. */
  controlClosed(): void;
}

type Done = (error?: Error | null) => void;

export class ControlStream<E extends ControlEnd = ControlEnd> extends Duplex {
  readonly end_: E;
  readonly #frames = new FrameReader(1024 * 1024);

  constructor(end: E) {
    super({ allowHalfOpen: false, highWaterMark: 64 * 1024 });
    this.end_ = end;
  }

  override _read(): void {}

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: Done): void {
    this.#take(chunk);
    done();
  }

  override _writev(chunks: readonly { readonly chunk: Buffer }[], done: Done): void {
    for (const { chunk } of chunks) this.#take(chunk);
    done();
  }

  override _destroy(error: Error | null, done: Done): void {
    this.end_.controlClosed();
    done(error);
  }

  #take(chunk: Buffer): void {
    const frames = this.#frames;
    frames.push(chunk);
    while (frames.next()) {
      this.end_.fromAedes(frames.header, Buffer.from(frames.buffer.subarray(frames.start, frames.end)));
    }
  }
}

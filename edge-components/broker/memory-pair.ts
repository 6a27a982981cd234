/**
 * Two streams that are each other's far end, as a socket without a kernel. Unlike Node's `duplexPair` it hands over what
 * was corked in one piece and never from within `read`; MQTT packets are written in many small parts.
 */

import { Duplex } from 'node:stream';

type Done = (error?: Error | null) => void;

class Side extends Duplex {
  peer: Side | undefined;
  #takeMore: Done | undefined;

  constructor() {
    super({ allowHalfOpen: false });
  }

  override _read(): void {
    const done = this.peer?.taken();
    // Later: the far end writes on from there, and that must not happen inside this read.
    if (done !== undefined) process.nextTick(done);
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: Done): void {
    this.#hand(chunk, done);
  }

  /** What was written in one go (MQTT.js corks its packets) arrives in one piece. */
  override _writev(chunks: readonly { readonly chunk: Buffer }[], done: Done): void {
    this.#hand(Buffer.concat(chunks.map((one) => one.chunk)), done);
  }

  override _final(done: Done): void {
    if (this.peer?.destroyed === false) this.peer.push(null);
    done();
  }

  override _destroy(error: Error | null, done: Done): void {
    const { peer } = this;
    if (peer !== undefined && !peer.destroyed) {
      if (!peer.readableEnded) peer.push(null);
      peer.taken()?.();
      // Nobody may be reading the end that was just pushed.
      setImmediate(() => peer.destroy());
    }
    done(error);
  }

  /** The callback of a write that waited for this side's far end to read. */
  taken(): Done | undefined {
    const done = this.#takeMore;
    this.#takeMore = undefined;
    return done;
  }

  #hand(data: Buffer, done: Done): void {
    const { peer } = this;
    if (peer === undefined || peer.destroyed || peer.push(data)) done();
    else this.#takeMore = done;
  }
}

/** A connected pair; closing one closes the other. */
export function memoryPair(): [Duplex, Duplex] {
  const one = new Side();
  const two = new Side();
  one.peer = two;
  two.peer = one;
  return [one, two];
}

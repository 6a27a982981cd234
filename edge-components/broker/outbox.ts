/**
 * What is on its way to one client's socket. Packets of one turn of the event loop leave together in one write; what
 * the socket has not taken yet is counted, so that nobody fills the memory by not reading.
 */

import type { Duplex } from 'node:stream';

/** Flushes everything that was written in this turn of the event loop. */
export class FlushScheduler {
  #dirty: Outbox[] = [];

  add(outbox: Outbox): void {
    this.#dirty.push(outbox);
    if (this.#dirty.length === 1) setImmediate(() => this.#flush());
  }

  #flush(): void {
    const dirty = this.#dirty;
    this.#dirty = [];
    for (const outbox of dirty) outbox.flush();
  }
}

/** Larger pieces are handed over as they are, smaller ones are joined. */
const JOIN_UP_TO = 16 * 1024;
/** The socket is behind. */
const FULL_AT = 1024 * 1024;

export class Outbox {
  readonly #stream: Duplex;
  readonly #scheduler: FlushScheduler;
  readonly #onRoom: () => void;
  #pieces: Buffer[] = [];
  #pending = 0;
  #wasFull = false;

  /** `onRoom` is called when a socket that was behind has caught up. */
  constructor(stream: Duplex, scheduler: FlushScheduler, onRoom: () => void) {
    this.#stream = stream;
    this.#scheduler = scheduler;
    this.#onRoom = onRoom;
    stream.on('drain', () => this.#caughtUp());
  }

  /** Bytes the socket has not taken. */
  get buffered(): number {
    return this.#pending + this.#stream.writableLength;
  }

  get hasRoom(): boolean {
    if (this.#pending + this.#stream.writableLength < FULL_AT) return true;
    this.#wasFull = true;
    return false;
  }

  write(packet: Buffer): void {
    this.#pieces.push(packet);
    if (this.#pending === 0) this.#scheduler.add(this);
    this.#pending += packet.length;
  }

  flush(): void {
    const pieces = this.#pieces;
    if (pieces.length === 0) return;
    const total = this.#pending;
    this.#pieces = [];
    this.#pending = 0;
    const stream = this.#stream;
    if (stream.destroyed || stream.writableEnded) return;
    const [first] = pieces;
    if (pieces.length === 1 && first !== undefined) stream.write(first);
    else if (total <= JOIN_UP_TO * 4) stream.write(Buffer.concat(pieces, total));
    else writeJoined(stream, pieces);
    // A write that was taken at once is followed by no `drain`.
    if (this.#wasFull && stream.writableLength === 0) this.#caughtUp();
  }

  #caughtUp(): void {
    if (!this.#wasFull || !this.hasRoom) return;
    this.#wasFull = false;
    this.#onRoom();
  }
}

function writeJoined(stream: Duplex, pieces: readonly Buffer[]): void {
  stream.cork();
  let small: Buffer[] = [];
  let bytes = 0;
  const out = (): void => {
    if (bytes > 0) stream.write(Buffer.concat(small, bytes));
    small = [];
    bytes = 0;
  };
  for (const piece of pieces) {
    if (bytes + piece.length > JOIN_UP_TO * 4) out();
    if (piece.length > JOIN_UP_TO) {
      out();
      stream.write(piece);
      continue;
    }
    small.push(piece);
    bytes += piece.length;
  }
  out();
  stream.uncork();
}

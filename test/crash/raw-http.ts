/** An HTTP/1.1 client that knows at which byte of its connection each answer ended. */

import { connect, type Socket } from 'node:net';
import type { Place } from './places.ts';
import { type Places, placed } from './places.ts';

export interface RawAnswer {
  readonly status: number;
  readonly body: string;
  readonly place: Place;
}

/** One connection, one request at a time. */
export class RawHttp {
  readonly #socket: Socket;
  readonly #place: () => Place;
  #buffer: Buffer = Buffer.alloc(0);
  #consumed = 0;
  #waiting: { resolve(answer: RawAnswer): void; reject(error: Error): void } | undefined;
  #ended: Error | undefined;

  private constructor(socket: Socket, places: Places) {
    this.#socket = socket;
    const position = placed(socket, places);
    this.#place = () => position(this.#consumed);
    socket.setNoDelay(true);
    socket.on('data', (chunk: Buffer) => {
      this.#buffer = this.#buffer.length === 0 ? chunk : Buffer.concat([this.#buffer, chunk]);
      this.#parse();
    });
    const end = (): void => {
      this.#ended ??= new Error('the connection is gone');
      this.#waiting?.reject(this.#ended);
    };
    socket.on('error', end);
    socket.on('close', end);
  }

  static open(port: number, places: Places): Promise<RawHttp> {
    return new Promise((resolve, reject) => {
      const socket = connect(port, '127.0.0.1');
      socket.once('error', reject);
      socket.once('connect', () => resolve(new RawHttp(socket, places)));
    });
  }

  send(method: string, path: string, body: string): Promise<RawAnswer> {
    return new Promise((resolve, reject) => {
      if (this.#ended !== undefined) return reject(this.#ended);
      this.#waiting = { resolve, reject };
      const type = 'content-type: application/json\r\nhost: x';
      this.#socket.write(
        `${method} ${path} HTTP/1.1\r\n${type}\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
      );
    });
  }

  close(): void {
    this.#socket.destroy();
  }

  #parse(): void {
    const end = this.#buffer.indexOf('\r\n\r\n');
    if (end < 0 || this.#waiting === undefined) return;
    const head = this.#buffer.toString('latin1', 0, end).toLowerCase();
    const length = Number(/content-length: *(\d+)/.exec(head)?.[1] ?? '0');
    if (head.includes('transfer-encoding')) throw new Error('a chunked answer is not expected here');
    const total = end + 4 + length;
    if (this.#buffer.length < total) return;
    this.#consumed += total;
    const body = this.#buffer.toString('utf8', end + 4, total);
    this.#buffer = this.#buffer.subarray(total);
    const { resolve } = this.#waiting;
    this.#waiting = undefined;
    resolve({ status: Number(head.slice(9, 12)), body, place: this.#place() });
  }
}

/** HTTP/2 frames by hand, for what no client library lets one do (RFC 9113; header fields as RFC 7541 literals). */

import { connect, type Socket } from 'node:net';

export const FRAME = {
  data: 0,
  headers: 1,
  reset: 3,
  settings: 4,
  ping: 6,
  goaway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const;

const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1');
export const END_STREAM = 1;
export const END_HEADERS = 4;

/** One frame; `length` lies about the payload when given. */
export function frame(
  type: number,
  flags: number,
  stream: number,
  payload: Uint8Array = Buffer.alloc(0),
  length = payload.byteLength,
): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

function literal(text: string): Buffer {
  const bytes = Buffer.from(text, 'latin1');
  const head =
    bytes.length < 127
      ? [bytes.length]
      : [127, ((bytes.length - 127) & 127) | 128, (bytes.length - 127) >> 7];
  return Buffer.concat([Buffer.from(head), bytes]);
}

/** A header block without Huffman coding or table. */
export function headerBlock(fields: Readonly<Record<string, string>>): Buffer {
  return Buffer.concat(
    Object.entries(fields).map(([name, value]) =>
      Buffer.concat([Buffer.of(0), literal(name), literal(value)]),
    ),
  );
}

export interface RawH2 {
  readonly socket: Socket;
  /** Types and streams of the frames that came, in order. */
  readonly frames: {
    readonly type: number;
    readonly flags: number;
    readonly stream: number;
    readonly payload: Buffer;
  }[];
  send(...frames: readonly Uint8Array[]): void;
  readonly closed: Promise<void>;
}

/** Connects by prior knowledge and sends preface and SETTINGS. */
export async function rawH2(port: number, settings: Uint8Array = Buffer.alloc(0)): Promise<RawH2> {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => {});
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve);
    socket.once('error', reject);
  });
  const frames: RawH2['frames'] = [];
  let pending: Buffer = Buffer.alloc(0);
  socket.on('data', (chunk: Buffer) => {
    pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk]);
    while (pending.length >= 9) {
      const length = pending.readUIntBE(0, 3);
      if (pending.length < 9 + length) return;
      frames.push({
        type: pending[3] as number,
        flags: pending[4] as number,
        stream: pending.readUInt32BE(5) & 0x7fffffff,
        payload: pending.subarray(9, 9 + length),
      });
      pending = pending.subarray(9 + length);
    }
  });
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
  socket.write(Buffer.concat([PREFACE, frame(FRAME.settings, 0, 0, settings)]));
  return { socket, frames, closed, send: (...given) => void socket.write(Buffer.concat(given)) };
}

/**
 * `Upgrade: h2c` (RFC 7540, section 3.2). node:http2 cannot take over a request that began as HTTP/1.1, so the request
 * is put into the new connection as if the client had sent it there: after the client's preface and its first SETTINGS
 * frame, a HEADERS frame for stream 1 is slipped in. The answer then comes on stream 1, where the client waits for it.
 * Only requests without a body are upgraded; a server may ignore the header.
 */

import type { IncomingMessage } from 'node:http';
import { Duplex } from 'node:stream';

export const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1');
const FRAME_HEAD = 9;
const MAX_FRAME = 16384;
const HEADERS = 0x1;
const CONTINUATION = 0x9;
const END_STREAM = 0x1;
const END_HEADERS = 0x4;

const SWITCHING = 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n';
const NOT_CARRIED = new Set([
  'host',
  'connection',
  'upgrade',
  'http2-settings',
  'keep-alive',
  'proxy-connection',
  'transfer-encoding',
  'te',
  'content-length',
]);

/** Whether a request asks for an upgrade that we make. */
export function wantsH2c(request: IncomingMessage): boolean {
  const {
    upgrade,
    connection,
    'http2-settings': settings,
    'content-length': length,
    'transfer-encoding': coding,
  } = request.headers;
  return (
    upgrade !== undefined &&
    settings !== undefined &&
    coding === undefined &&
    (length === undefined || length === '0') &&
    hasToken(upgrade, 'h2c') &&
    hasToken(connection ?? '', 'http2-settings')
  );
}

function hasToken(list: string, token: string): boolean {
  return list.split(',').some((item) => item.trim().toLowerCase() === token);
}

/** Answers 101 and returns the connection as an HTTP/2 server session is to see it. */
export function upgradeToH2c(request: IncomingMessage, socket: Duplex, head: Buffer): Duplex {
  socket.write(SWITCHING);
  return new UpgradedConnection(socket, head, headersFrames(request));
}

class UpgradedConnection extends Duplex {
  readonly #socket: Duplex;
  readonly #request: Buffer;
  /** What came before the request could be slipped in; `undefined` afterwards. */
  #waiting: Buffer | undefined;

  constructor(socket: Duplex, head: Buffer, request: Buffer) {
    super();
    this.#socket = socket;
    this.#request = request;
    this.#waiting = Buffer.alloc(0);
    socket.on('data', (chunk: Buffer) => this.#receive(chunk));
    socket.on('end', () => this.push(null));
    socket.on('error', (error) => this.destroy(error));
    socket.on('close', () => this.destroy());
    if (head.byteLength > 0) this.#receive(head);
  }

  #receive(chunk: Buffer): void {
    const out = this.#waiting === undefined ? chunk : this.#opening(chunk);
    if (out !== undefined && !this.push(out)) this.#socket.pause();
  }

  /** Bytes to pass on once the preface and the first frame are complete. */
  #opening(chunk: Buffer): Buffer | undefined {
    const got = Buffer.concat([this.#waiting ?? Buffer.alloc(0), chunk]);
    this.#waiting = got;
    const frame = PREFACE.byteLength;
    if (got.byteLength < frame + FRAME_HEAD) return undefined;
    const end = frame + FRAME_HEAD + got.readUIntBE(frame, 3);
    if (end > frame + FRAME_HEAD + MAX_FRAME || !got.subarray(0, frame).equals(PREFACE)) {
      this.destroy();
      return undefined;
    }
    if (got.byteLength < end) return undefined;
    this.#waiting = undefined;
    return Buffer.concat([got.subarray(0, end), this.#request, got.subarray(end)]);
  }

  override _read(): void {
    this.#socket.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#socket.write(chunk, done);
  }

  override _final(done: () => void): void {
    this.#socket.end(done);
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#socket.destroy();
    done(error);
  }
}

/** The request as HEADERS (and CONTINUATION) frames of stream 1, ended on the client's side. */
function headersFrames(request: IncomingMessage): Buffer {
  const fields: Buffer[] = [
    field(':method', request.method ?? 'GET'),
    field(':scheme', 'http'),
    field(':authority', request.headers.host ?? ''),
    field(':path', request.url ?? '/'),
  ];
  const { rawHeaders } = request;
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const name = (rawHeaders[i] as string).toLowerCase();
    if (!NOT_CARRIED.has(name)) fields.push(field(name, rawHeaders[i + 1] as string));
  }
  const block = Buffer.concat(fields);
  const frames: Buffer[] = [];
  for (let at = 0; at < block.byteLength; at += MAX_FRAME) {
    const part = block.subarray(at, at + MAX_FRAME);
    const first = at === 0;
    const last = at + MAX_FRAME >= block.byteLength;
    const head = Buffer.alloc(FRAME_HEAD);
    head.writeUIntBE(part.byteLength, 0, 3);
    head[3] = first ? HEADERS : CONTINUATION;
    head[4] = (first ? END_STREAM : 0) | (last ? END_HEADERS : 0);
    head.writeUInt32BE(1, 5);
    frames.push(head, part);
  }
  return Buffer.concat(frames);
}

/** A literal header field without indexing, new name, no Huffman coding (RFC 7541, section 6.2.2). */
function field(name: string, value: string): Buffer {
  return Buffer.concat([Buffer.of(0), text(name), text(value)]);
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value, 'latin1');
  return Buffer.concat([prefixInteger(bytes.byteLength), bytes]);
}

/** An integer with a 7-bit prefix (RFC 7541, section 5.1). */
function prefixInteger(value: number): Buffer {
  if (value < 127) return Buffer.of(value);
  const bytes = [127];
  let rest = value - 127;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128);
  bytes.push(rest);
  return Buffer.from(bytes);
}

/**
 * Request targets with characters beyond ASCII, sent as they are (`curl .../state/store/ключ`). Go's server takes them, so
 * does daprd; node:http's parser stops at the first such byte and says where. The bytes are escaped then, which is what
 * the client meant, and the connection begins anew with them. It ends with the answer: such clients ask once.
 */

const NEWLINE = 0x0a;
/** Method, space, the rest: the line was not begun in an earlier packet. */
const REQUEST_LINE = /^[A-Z]{3,10} [^\r\n]*$/;

/**
 * `packet` with the request line escaped that the parser stopped in at byte `at`, as the first bytes of a connection;
 * `undefined` when that is not what is wrong with it.
 */
export function escapeTarget(packet: Buffer, at: number): Buffer | undefined {
  const byte = packet[at];
  if (byte === undefined || byte < 0x80) return undefined;
  const start = packet.lastIndexOf(NEWLINE, at) + 1;
  const end = packet.indexOf(NEWLINE, at);
  if (end < 0) return undefined;
  const line = packet.toString('latin1', start, end).replace(/\r$/, '');
  if (!REQUEST_LINE.test(line)) return undefined;
  const escaped = line.replace(/[\x80-\xff]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
  return Buffer.concat([
    Buffer.from(`${escaped}\r\nConnection: close\r\n`, 'latin1'),
    packet.subarray(end + 1),
  ]);
}

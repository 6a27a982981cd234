/**
 * DER as far as requests and certificates of this runtime need it (ITU-T X.690): elements written, and walked one level at a
 * time. What they say is judged by OpenSSL, never here.
 */

export const INTEGER = 0x02;
export const BIT_STRING = 0x03;
export const OCTET_STRING = 0x04;
export const UTF8_STRING = 0x0c;
export const SEQUENCE = 0x30;
export const SET = 0x31;
export const CONTEXT_0 = 0xa0;
export const CONTEXT_3 = 0xa3;

/** One element as it stands in its bytes. */
export interface Element {
  readonly tag: number;
  /** Tag, length and contents. */
  readonly whole: Uint8Array;
  readonly contents: Uint8Array;
}

/** Tag, length, contents; every length here is below 16 MiB. */
export function der(tag: number, ...contents: readonly Uint8Array[]): Buffer {
  const body = Buffer.concat(contents);
  const { length } = body;
  const size =
    length < 0x80
      ? [length]
      : length < 0x100
        ? [0x81, length]
        : length < 0x1_0000
          ? [0x82, length >> 8, length & 0xff]
          : [0x83, length >> 16, (length >> 8) & 0xff, length & 0xff];
  return Buffer.concat([Uint8Array.from([tag, ...size]), body]);
}

/** The elements that stand one after the other in `bytes`. Throws where they do not fill it exactly. */
export function elementsOf(bytes: Uint8Array): readonly Element[] {
  const found: Element[] = [];
  for (let at = 0; at < bytes.length; ) {
    const first = bytes[at + 1] ?? 0;
    const more = first < 0x80 ? 0 : first & 0x7f;
    if (more > 3 || first === 0x80) throw new Error('malformed DER: bad length');
    let length = more === 0 ? first : 0;
    for (let n = 0; n < more; n += 1) length = length * 256 + (bytes[at + 2 + n] ?? 0);
    const start = at + 2 + more;
    const end = start + length;
    if (end > bytes.length) throw new Error('malformed DER: cut short');
    found.push({
      tag: bytes[at] as number,
      whole: bytes.subarray(at, end),
      contents: bytes.subarray(start, end),
    });
    at = end;
  }
  return found;
}

/** PEM text around DER bytes. */
export function pemText(label: string, bytes: Uint8Array): string {
  const lines =
    Buffer.from(bytes)
      .toString('base64')
      .match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`;
}

/** The bytes of the first PEM block of this label. */
export function pemBytes(label: string, text: string): Uint8Array {
  const match = new RegExp(`-----BEGIN ${label}-----([A-Za-z0-9+/=\\s]+)-----END ${label}-----`).exec(text);
  if (match === null) throw new Error(`there is no ${label} in PEM`);
  return Buffer.from(match[1] ?? '', 'base64');
}

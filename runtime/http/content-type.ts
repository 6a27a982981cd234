/**
 * The content type of an answer that an app gave none, guessed from its first bytes as Go's server does (WHATWG MIME
 * sniffing, the part that matters here): clients of Dapr see `text/plain; charset=utf-8` for such texts.
 */

const SNIFF_BYTES = 512;

const MARKUP = [
  '<!DOCTYPE HTML',
  '<HTML',
  '<HEAD',
  '<SCRIPT',
  '<IFRAME',
  '<H1',
  '<DIV',
  '<FONT',
  '<TABLE',
  '<A',
  '<STYLE',
  '<TITLE',
  '<B',
  '<BODY',
  '<BR',
  '<P',
  '<!--',
];

const SIGNATURES: readonly (readonly [signature: string, type: string])[] = [
  ['%PDF-', 'application/pdf'],
  ['%!PS-Adobe-', 'application/postscript'],
  ['\xfe\xff\x00\x00', 'text/plain; charset=utf-16be'],
  ['\xff\xfe\x00\x00', 'text/plain; charset=utf-16le'],
  ['\xef\xbb\xbf', 'text/plain; charset=utf-8'],
  ['\x00\x00\x01\x00', 'image/x-icon'],
  ['BM', 'image/bmp'],
  ['GIF87a', 'image/gif'],
  ['GIF89a', 'image/gif'],
  ['\x89PNG\x0d\x0a\x1a\x0a', 'image/png'],
  ['\xff\xd8\xff', 'image/jpeg'],
  ['ID3', 'audio/mpeg'],
  ['OggS\x00', 'application/ogg'],
  ['\x1aE\xdf\xa3', 'video/webm'],
  ['OTTO', 'font/otf'],
  ['wOFF', 'font/woff'],
  ['wOF2', 'font/woff2'],
  ['\x1f\x8b\x08', 'application/x-gzip'],
  ['PK\x03\x04', 'application/zip'],
  ['\x00asm', 'application/wasm'],
];

/** Content type of a body that begins with `bytes`. */
export function sniffContentType(bytes: Uint8Array): string {
  const head = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.byteLength, SNIFF_BYTES)).toString(
    'latin1',
  );
  const first = head.search(/[^\t\n\f\r ]/);
  if (first >= 0 && head.charCodeAt(first) === 0x3c) {
    const rest = head.slice(first);
    const upper = rest.toUpperCase();
    for (const tag of MARKUP) {
      const next = rest[tag.length];
      if (upper.startsWith(tag) && (tag === '<!--' || next === ' ' || next === '>'))
        return 'text/html; charset=utf-8';
    }
    if (rest.startsWith('<?xml')) return 'text/xml; charset=utf-8';
  }
  for (const [signature, type] of SIGNATURES) if (head.startsWith(signature)) return type;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: bytes that no text has
  return /[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]/.test(head)
    ? 'application/octet-stream'
    : 'text/plain; charset=utf-8';
}

import t from 'tap';
import { sniffContentType } from '../../../runtime/http/content-type.ts';

t.test('texts, markup and binary data are told apart as Go does', async (t) => {
  const cases: readonly (readonly [string | Buffer, string])[] = [
    ['plain', 'text/plain; charset=utf-8'],
    ['{"a":1}', 'text/plain; charset=utf-8'],
    ['  <html><body>', 'text/html; charset=utf-8'],
    ['<a href="x">', 'text/html; charset=utf-8'],
    ['<abc>', 'text/plain; charset=utf-8'],
    ['<?xml version="1.0"?>', 'text/xml; charset=utf-8'],
    ['%PDF-1.7', 'application/pdf'],
    [Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]), 'image/png'],
    [Buffer.from([0, 1, 2, 255]), 'application/octet-stream'],
  ];
  for (const [bytes, wanted] of cases)
    t.equal(sniffContentType(Buffer.from(bytes as string)), wanted, JSON.stringify(String(bytes)));
});

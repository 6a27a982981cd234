/** What devices may send as CBOR, and the JSON values that apps get (RFC 8949, appendix A and section 6.1). */

import t from 'tap';
import { decodeCbor } from '../../../../edge-components/drivers/cbor/decode.ts';

const decode = (hex: string): unknown => decodeCbor(Buffer.from(hex.replaceAll(' ', ''), 'hex'));

const CASES: readonly (readonly [what: string, hex: string, value: unknown])[] = [
  ['small integer', '18 64', 100],
  ['negative integer', '39 03e7', -1000],
  ['64-bit integer within 2^53', '1b 000000e8d4a51000', 1_000_000_000_000],
  ['64-bit integer beyond 2^53', '1b ffffffffffffffff', '18446744073709551615'],
  ['negative 64-bit integer', '3b ffffffffffffffff', '-18446744073709551616'],
  ['big number', 'c2 49 010000000000000000', '18446744073709551616'],
  ['negative big number', 'c3 49 010000000000000000', '-18446744073709551617'],
  ['small big number', 'c2 41 05', 5],
  ['half float', 'f9 3e00', 1.5],
  ['double', 'fb 3ff199999999999a', 1.1],
  ['NaN', 'f9 7e00', null],
  ['infinity', 'f9 7c00', null],
  ['null and undefined', '82 f6 f7', [null, null]],
  ['true and false', '82 f5 f4', [true, false]],
  ['unassigned simple values', '82 f0 f8ff', [null, null]],
  ['text', '64 f0908591', '𐅑'],
  ['empty text', '60', ''],
  ['bytes', '44 01020304', 'AQIDBA=='],
  ['bytes that want base64url', 'd5 42 fbff', '-_8'],
  ['bytes that want base16', 'd7 42 fbff', 'fbff'],
  ['text in pieces', '7f 65 7374726561 64 6d696e67 ff', 'streaming'],
  ['bytes in pieces', '5f 42 0102 43 030405 ff', 'AQIDBAU='],
  ['no pieces at all', '7f ff', ''],
  ['array', '83 01 82 02 03 82 04 05', [1, [2, 3], [4, 5]]],
  ['array with a break', '9f 01 82 02 03 9f 04 05 ff ff', [1, [2, 3], [4, 5]]],
  ['empty containers', '84 80 a0 9f ff bf ff', [[], {}, [], {}]],
  ['map', 'a2 61 61 01 61 62 82 02 03', { a: 1, b: [2, 3] }],
  ['map with a break', 'bf 63 46756e f5 63 416d74 21 ff', { Fun: true, Amt: -2 }],
  ['map with keys that are not text', 'a3 01 61 61 f5 61 62 41 00 61 63', { 1: 'a', true: 'b', 'AA==': 'c' }],
  ['time as text', 'c0 74 323031332d30332d32315432303a30343a30305a', '2013-03-21T20:04:00Z'],
  ['time as seconds', 'c1 1a 514b67b0', '2013-03-21T20:04:00.000Z'],
  ['time as fraction', 'c1 fb 41d452d9ec200000', '2013-03-21T20:04:00.500Z'],
  ['URI', 'd820 76 687474703a2f2f7777772e6578616d706c652e636f6d', 'http://www.example.com'],
  ['typed array of 16-bit numbers', 'd841 44 00010002', [1, 2]],
  ['self-described CBOR', 'd9d9f7 82 01 02', [1, 2]],
  ['nested tags of no meaning here', 'd9d9f7 d864 d865 01', 1],
  ['set', 'd90102 82 01 02', [1, 2]],
];

for (const [what, hex, value] of CASES) t.test(what, async (t) => t.strictSame(decode(hex), value));

t.test('a key cannot reach the prototype', async (t) => {
  const value = decode('a1 69 5f5f70726f746f5f5f a1 61 61 01') as Record<string, unknown>;
  t.strictSame(Object.keys(value), ['__proto__']);
  t.equal(value['a'], undefined);
});

t.test('tags that build objects or share references are content like any other', async (t) => {
  t.strictSame(
    decode('d81b 82 68 46756e6374696f6e 68 72657475726e2037'),
    ['Function', 'return 7'],
    'generic object',
  );
  t.strictSame(decode('d81c 82 01 d81d 00'), [1, 0], 'shared value and reference');
  t.strictSame(decode('c6 01'), 1, 'packed reference');
});

t.test('what is not one well-formed item is refused with a reason', async (t) => {
  const refused = (hex: string, reason: RegExp): unknown =>
    t.throws(() => decode(hex), { message: reason }, hex);
  refused('', /end in the middle/);
  refused('18', /end in the middle/);
  refused('62 61', /end in the middle/);
  refused('82 01', /end in the middle/);
  refused('9b 00000000ffffffff 01', /end in the middle/);
  refused('bb ffffffffffffffff', /end in the middle/);
  refused('5b 7fffffffffffffff 00', /end in the middle/);
  refused('c1', /end in the middle/);
  refused('01 02', /1 bytes follow/);
  refused('ff', /break in the wrong place/);
  refused('82 01 ff', /break in the wrong place/);
  refused('bf 01 ff', /break in the wrong place/);
  refused('7f 41 00 ff', /not a piece of the string/);
  refused('7f 7f ff ff', /not a piece of the string/);
  refused('1c', /not the head of an item/);
  refused('1f', /not the head of an item/);
  refused('df 01', /not the head of an item/);
  refused('f8 18', /not the head of an item/);
});

t.test('depth is bounded, also far beyond the stack', async (t) => {
  t.doesNotThrow(() => decodeCbor(Buffer.concat([Buffer.alloc(63, 0x81), Buffer.of(0x80)])));
  t.throws(() => decodeCbor(Buffer.concat([Buffer.alloc(64, 0x81), Buffer.of(0x80)])), {
    message: /deeper than 64/,
  });
  t.throws(() => decodeCbor(Buffer.alloc(1_000_000, 0x9f)), { message: /deeper than 64/ });
  t.throws(() => decodeCbor(Buffer.alloc(1_000_000, 0xc1)), { message: /end in the middle/ });
});

t.test('the bytes given stay as they are, and a view into a larger buffer is enough', async (t) => {
  const whole = Buffer.from('ffff82c00163616263ffff', 'hex');
  t.strictSame(decodeCbor(whole.subarray(2, 9)), [1, 'abc']);
  t.equal(whole.toString('hex'), 'ffff82c00163616263ffff');
});

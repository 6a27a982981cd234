import t from 'tap';
import { parseExact, parseVerbatim } from '../../../runtime/contracts/exact-json.ts';

/** ECMAScript 2026, "JSON.parse source text access"; the typings do not know it yet. */
const { isRawJSON } = JSON as unknown as { isRawJSON(value: unknown): boolean };

t.test('numbers that a double does not hold keep their text', async (t) => {
  for (const text of [
    '{"id":9007199254740993}',
    '[12345678901234567890,-9223372036854775808]',
    '{"a":{"b":[0.1234567890123456789]}}',
    '18446744073709551615',
    '[1e400,-1E+400,1e-400]',
    '{"amount":1234567890.12345678901}',
  ]) {
    t.equal(JSON.stringify(parseExact(text)), text);
    t.ok(text.includes('1'));
  }
});

t.test('numbers that it holds are plain, however they are written', async (t) => {
  t.same(parseExact('[1e3,1.50,100000000000000000000,0.0000001,9007199254740992,1.0000000000000000000]'), [
    1000,
    1.5,
    1e20,
    1e-7,
    2 ** 53,
    1,
  ]);
  t.same(parseExact('{"digits":"12345678901234567890","n":1}'), { digits: '12345678901234567890', n: 1 });
  t.notOk(isRawJSON(parseExact('5')));
  t.ok(isRawJSON(parseExact('9007199254740993')));
});

t.test('what is no JSON is refused as before', async (t) => {
  t.throws(() => parseExact('{"a":12345678901234567890'), SyntaxError);
  t.throws(() => parseExact('nope'), SyntaxError);
});

t.test('a member named __proto__ is a member', async (t) => {
  const text = '{"__proto__":{"id":9007199254740993}}';
  t.equal(JSON.stringify(parseExact(text)), text);
});

t.test('verbatim: every number as it was written', async (t) => {
  const text = '{"a":[1.0,1e2,-0,12345678901234567890],"b":"1.0"}';
  t.equal(JSON.stringify(parseVerbatim(text)), text);
  t.equal(JSON.stringify(parseVerbatim('{"a":1.0,"a":2.0}')), '{"a":2.0}', 'of equal members the last one');
  t.throws(() => parseVerbatim('{"a":1.0'), SyntaxError);
});

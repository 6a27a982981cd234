/** Faults of JSON texts: what daprd 1.18 answered to each. */

import t from 'tap';
import { goJsonFault, parseGoJson } from '../../../runtime/contracts/go-json-fault.ts';

const FAULTS: readonly (readonly [text: string, fault: string])[] = [
  ['', 'unexpected end of JSON input'],
  ['{', 'unexpected end of JSON input'],
  ['"abc', 'unexpected end of JSON input'],
  ['{oops', "invalid character 'o' looking for beginning of object key string"],
  ["{'a'", "invalid character '\\'' looking for beginning of object key string"],
  ['hello', "invalid character 'h' looking for beginning of value"],
  ['{"a" 1}', "invalid character '1' after object key"],
  ['{"a":1 "b"', `invalid character '"' after object key:value pair`],
  ['{"a":1,}', "invalid character '}' looking for beginning of object key string"],
  ['[1 2]', "invalid character '2' after array element"],
  ['[1,]', "invalid character ']' looking for beginning of value"],
  ['{} x', "invalid character 'x' after top-level value"],
  ['01', "invalid character '1' after top-level value"],
  ['"a\nb"', "invalid character '\\n' in string literal"],
  ['"\\x"', "invalid character 'x' in string escape code"],
  ['"\\u00g0"', "invalid character 'g' in \\u hexadecimal character escape"],
  ['-x', "invalid character 'x' in numeric literal"],
  ['1.x', "invalid character 'x' after decimal point in numeric literal"],
  ['1e+x', "invalid character 'x' in exponent of numeric literal"],
  ['trux', "invalid character 'x' in literal true (expecting 'e')"],
  ['nil', "invalid character 'i' in literal null (expecting 'u')"],
  ['\u00e4', "invalid character '\u00e4' looking for beginning of value"],
];

t.test('the first fault of a text', async (t) => {
  for (const [text, fault] of FAULTS) {
    t.equal(goJsonFault(text), fault, JSON.stringify(text));
    t.throws(() => parseGoJson(text), { message: fault });
  }
});

t.test('texts without fault', async (t) => {
  for (const text of ['{"a":[1,-2.5e3,true,null,"\\u00e4\\n"],"b":{}}', ' 0 ', '"x"', '[]']) {
    t.equal(goJsonFault(text), undefined);
    t.same(parseGoJson(text), JSON.parse(text));
  }
});

t.test('a decoder that reads from a stream has another word for the end', async (t) => {
  t.throws(() => parseGoJson('[1', 'unexpected EOF'), { message: 'unexpected EOF' });
});

t.test('what is nested too deeply to look at keeps the words of the engine', async (t) => {
  t.throws(() => parseGoJson('['.repeat(1_000_000)), SyntaxError);
});

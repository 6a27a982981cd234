import t from 'tap';
import { parseExact } from '../../../../edge-components/drivers/dapr-api/exact-json.ts';

t.test('numbers keep the digits that a double would lose', async (t) => {
  for (const text of [
    '12345678901234567890',
    '-9007199254740993',
    '9007199254740991.4',
    '0.12345678901234567',
    '1e400',
    '1e-400',
    '{"n":[12345678901234567890,"12345678901234567890"]}',
  ]) {
    t.equal(JSON.stringify(parseExact(text)), text);
  }
});

t.test('what a double holds is a number', async (t) => {
  for (const text of ['9007199254740991', '0.1', '1.50', '0e5', '100000000000000', '1e3', '-0']) {
    t.equal(parseExact(text), Number(text), text);
  }
  t.throws(() => parseExact('1234567890123456,'), SyntaxError);
});

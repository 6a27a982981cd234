import t from 'tap';
import {
  decodeMethod,
  escapePath,
  InvalidMethodError,
  methodFromWire,
  normaliseMethod,
  wireMethod,
} from '../../../../runtime/building-blocks/invoke/method-path.ts';

t.test('a method is decoded, cleaned and escaped again', async (t) => {
  const cases: Record<string, string> = {
    '': '',
    'a/b/c.d/e': 'a/b/c.d/e',
    'a%20b': 'a%20b',
    'a+b': 'a+b',
    'a%2Fb': 'a/b',
    '%C3%A9': '%C3%A9',
    "a-b_c~d!$&'()*,;=:@": "a-b_c~d!$&'()*,;=:@",
    'a%5B0%5D': 'a[0]',
    'a%5B0%5D%7Bx%7D': 'a%5B0%5D%7Bx%7D',
    "it's%20(me)!": 'it%27s%20%28me%29%21',
    'a%22b': 'a%22b',
    'a%5Cb': 'a%5Cb',
    'x//y/': 'x/y',
    'x/../y/./z': 'y/z',
    'x/%2E%2E/y': 'y',
    '../../other': 'other',
    '.hidden': '.hidden',
    '..': '',
    '/': '',
    'a%25b': 'a%25b',
    '%252F': '%252F',
    'ct%2Dcallee': 'ct-callee',
  };
  for (const [given, expected] of Object.entries(cases)) t.equal(normaliseMethod(given), expected, given);
});

t.test('methods that no app may be called with', async (t) => {
  const refused = (method: string, message: string) =>
    t.throws(() => normaliseMethod(method), { name: 'InvalidMethodError', message });
  refused('a%23b', 'invalid method: method contains forbidden character: "a#b"');
  refused('a%3Fb', 'invalid method: method contains forbidden character: "a?b"');
  refused('a%00b', 'invalid method: method contains forbidden character: "a\\x00b"');
  refused('a%0Ab', 'invalid method: method contains control character at position 1: "a\\nb"');
  t.throws(() => normaliseMethod('a%zzb'), InvalidMethodError);
});

t.test('between sidecars the text is decoded, a literal percent sign is not', async (t) => {
  t.equal(wireMethod('a%20b/c'), 'a b/c');
  t.equal(wireMethod('a%25b'), 'a%25b');
  t.equal(methodFromWire('a b/c'), 'a%20b/c');
  t.equal(
    methodFromWire("it's [me] %25"),
    'it%27s%20%5Bme%5D%20%25',
    'brackets only where nothing is escaped',
  );
  t.equal(methodFromWire("it's[me]%25"), "it's[me]%25");
  t.equal(methodFromWire('a%25b'), 'a%25b', 'a valid escape stays');
  t.equal(methodFromWire('100%'), '100%25', 'a stray percent sign is escaped');
  t.equal(methodFromWire('../x'), 'x', 'a peer cannot leave the root');
  for (const method of ['a%20b', 'a%25b', '%252F', '%C3%A9', 'plain/path'])
    t.equal(methodFromWire(wireMethod(method)), method, method);
});

t.test('escapePath and decodeMethod are inverse', async (t) => {
  t.equal(decodeMethod(escapePath('é {x} 🚢')), 'é {x} 🚢');
});

import t from 'tap';
import {
  cleanPath,
  decodeBytes,
  decodeText,
  escapeBytes,
  hasMalformedEscape,
  parseQuery,
  splitTarget,
} from '../../../runtime/http/path.ts';

t.test(
  'a target is split at the first question mark; an absolute form loses scheme and authority',
  async (t) => {
    t.strictSame(splitTarget('/a/b?x=1?y'), { path: '/a/b', query: 'x=1?y' });
    t.strictSame(splitTarget('/a'), { path: '/a', query: '' });
    t.strictSame(splitTarget('http://host:1/a?b'), { path: '/a', query: 'b' });
    t.strictSame(splitTarget('http://host'), { path: '/', query: '' });
    t.strictSame(splitTarget('*'), { path: '/', query: '' });
  },
);

t.test('paths are cleaned without touching escapes', async (t) => {
  const cases: readonly (readonly [string, string])[] = [
    ['/', '/'],
    ['//v1.0//healthz', '/v1.0/healthz'],
    ['/a/', '/a'],
    ['/a/./b/../c', '/a/c'],
    ['/../a', '/a'],
    ['/a/%2E/b', '/a/%2E/b'],
    ['/a/.hidden', '/a/.hidden'],
    ['/..', '/'],
    ['/a//', '/a'],
  ];
  for (const [given, wanted] of cases) t.equal(cleanPath(given), wanted, given);
});

t.test('malformed escapes are seen wherever they stand', async (t) => {
  t.ok(hasMalformedEscape('/a%zzb'));
  t.ok(hasMalformedEscape('/%'));
  t.ok(hasMalformedEscape('/%41%4'));
  t.notOk(hasMalformedEscape('/%41%2f'));
});

t.test('parameters are decoded with query rules', async (t) => {
  t.equal(decodeText('pl+us'), 'pl us');
  t.equal(decodeText('a%2Fb%20c'), 'a/b c');
  t.equal(decodeText('%D0%BA'), 'к');
  t.equal(decodeText('%2B'), '+');
  t.equal(decodeText('\u00c3\u00a9'), 'é', 'raw bytes of a UTF-8 text');
});

t.test('bytes survive decoding and escaping', async (t) => {
  t.equal(escapeBytes(decodeBytes('a%20b%FF%25')), 'a%20b%FF%25');
  t.equal(escapeBytes(decodeBytes('a%2Fb')), 'a/b');
  t.equal(escapeBytes("a-b_c~d!$&'()*,;=:@"), "a-b_c~d!$&'()*,;=:@");
});

t.test('query parts that cannot be decoded are left out', async (t) => {
  t.strictSame(parseQuery('a=1&a=2&b=%20+x&c&d=%zz&e;f=1&=g'), [
    ['a', '1'],
    ['a', '2'],
    ['b', '  x'],
    ['c', ''],
    ['', 'g'],
  ]);
});

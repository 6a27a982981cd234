import t from 'tap';
import { touchedBy } from '../../../runtime/relay/sidecar-names.ts';
import { askedOf } from '../../../runtime/relay/sidecar-operations.ts';
import { type AllowList, allowedPart, parseAllowList } from '../../../runtime/relay/sidecar-rules.ts';

const WHO = { node: 'site-1', app: 'door' };

function rules(...entries: readonly string[]): AllowList {
  const list = parseAllowList(entries);
  if (typeof list === 'string') throw new Error(list);
  return list;
}

t.test('the widest rule counts', async (t) => {
  const list = rules(
    'state:readings',
    'state:settings/{app}-',
    'state:settings/{node}.',
    'publish',
    'publish:orders/a',
  );
  const part = (operation: 'state' | 'publish' | 'secrets' | 'health', name: string) =>
    allowedPart(list, { operation, name }, WHO);
  t.equal(part('state', 'readings'), 'all');
  t.same(part('state', 'settings'), ['door-', 'site-1.']);
  t.same(part('state', 'other'), []);
  t.equal(part('publish', 'orders'), 'all');
  t.same(part('secrets', 'vault'), []);
  t.equal(part('health', ''), 'all');
});

t.test('entries that say nothing', async (t) => {
  t.match(parseAllowList(['actors']), /"actors": expected state, publish/);
  t.match(parseAllowList(['state:']), /"state:": expected/);
  t.match(parseAllowList(['state:a/']), /"state:a\/": expected/);
  t.match(parseAllowList(['invoke:billing/pay']), /invoke has no names within a component/);
  t.match(parseAllowList(['state:s/{site}-']), /expected \{node\} or \{app\}, got \{site\}/);
});

const touched = (method: string, path: string, body = '') => {
  const asked = askedOf(method, path);
  return asked === undefined
    ? 'nothing'
    : touchedBy(asked, { method, path, headers: {}, body: Buffer.from(body) });
};

t.test('the names that a request touches', async (t) => {
  const names = (...request: Parameters<typeof touched>) => {
    const found = touched(...request);
    return typeof found === 'object' ? found.names : found;
  };
  t.same(names('GET', '/v1.0/state/s/door%2F1'), ['door/1']);
  t.same(names('DELETE', '/v1.0/state/s/a'), ['a']);
  t.same(names('POST', '/v1.0/state/s', '[{"key":"a","value":{"key":"b"}},{"key":"c"}]'), ['a', 'c']);
  t.same(names('POST', '/v1.0/state/s/bulk', '{"keys":["a","b"]}'), ['a', 'b']);
  t.same(
    names(
      'POST',
      '/v1.0/state/s/transaction',
      '{"operations":[{"operation":"upsert","request":{"key":"a"}}]}',
    ),
    ['a'],
  );
  t.same(names('POST', '/v1.0/publish/p/plant/x'), ['plant/x']);
  t.same(names('POST', '/v1.0-alpha1/publish/bulk/p/plant/x'), ['plant/x']);
  t.same(names('GET', '/v1.0/configuration/c?key=a&key=b'), ['a', 'b']);
  t.same(names('POST', '/v1.0-alpha1/lock/l', '{"resourceId":"a","lockOwner":"o"}'), ['a']);
  t.same(names('GET', '/v1.0/secrets/v/a'), ['a']);
});

t.test('what was judged is what is sent: every digit, and of equal members the last', async (t) => {
  const sent = touched(
    'POST',
    '/v1.0/state/s',
    '[{"key":"b","value":[1.0,12345678901234567890,1e2,"ü"], "key":"a"}]',
  );
  t.equal(
    typeof sent === 'object' ? String(sent.body) : '',
    '[{"key":"a","value":[1.0,12345678901234567890,1e2,"ü"]}]',
  );
});

t.test('where it does not show, or another decoder would see another name', async (t) => {
  for (const [method, path, body] of [
    ['POST', '/v1.0/state/s', '[{"key":"a","KEY":"b"}]'],
    ['POST', '/v1.0/state/s', '[{"\u212aey":"b"}]'],
    ['POST', '/v1.0/state/s', '[{"value":1}]'],
    ['POST', '/v1.0/state/s', '[{"key":1}]'],
    ['POST', '/v1.0/state/s', '[{"key":"a"}] [{"key":"b"}]'],
    ['POST', '/v1.0/state/s', '{"key":"a"}'],
    ['POST', '/v1.0/state/s/bulk', '{"keys":["a"],"key\u017f":["b"]}'],
    ['POST', '/v1.0/state/s/transaction', '{"operations":[{"request":{"key":"a"},"Request":{"key":"b"}}]}'],
    ['POST', '/v1.0/state/s/transaction', '{"Operations":[]}'],
    ['POST', '/v1.0-alpha1/state/s/query', '{}'],
    ['GET', '/v1.0/secrets/v/bulk', ''],
    ['GET', '/v1.0/configuration/c', ''],
    ['POST', '/v1.0/bindings/b', '{}'],
  ] as const)
    t.equal(touched(method, path, body), undefined, `${path} ${body}`);
});

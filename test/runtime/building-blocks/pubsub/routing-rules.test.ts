import t from 'tap';
import { compileRules } from '../../../../runtime/building-blocks/pubsub/routing-rules.ts';

t.test('the first rule that is true wins', async (t) => {
  const rules = compileRules([
    { match: 'has(event.data.size) && event.data.size > 5', path: '/large' },
    { match: ' event.type.startsWith("kind") ', path: '/kind' },
    { match: '"blue" in event.data.tags', path: '/blue' },
    { match: '', path: '/other' },
  ]);
  t.equal(rules.match({ type: 'x', data: { size: 6 } }), '/large');
  t.equal(rules.match({ type: 'kind.a', data: { size: 5 } }), '/kind');
  t.equal(rules.match({ type: 'x', data: { tags: ['red', 'blue'] } }), '/blue');
  t.equal(rules.match({ type: 'x', data: { tags: [] } }), '/other');
});

t.test('no rule, no path', async (t) => {
  t.equal(compileRules([]).match({}), undefined);
  t.equal(compileRules([{ match: 'event.type == "a"', path: '/a' }]).match({ type: 'b' }), undefined);
});

t.test('a rule that cannot be evaluated fails the delivery', async (t) => {
  const fails = (match: string) =>
    t.throws(() => compileRules([{ match, path: '/a' }]).match({ data: { a: 1 } }), match);
  fails('event.data.missing.deeper == 1');
  fails('event.data.a');
  fails('unknown == 1');
});

t.test('a rule that does not compile is named', async (t) => {
  t.throws(() => compileRules([{ match: 'event.type ==', path: '/a' }]), {
    message: /'event.type ==' is not valid CEL/,
  });
  t.throws(() => compileRules([{ match: `event.type == "${'x'.repeat(9000)}"`, path: '/a' }]), {
    message: /longer than 8192/,
  });
  t.throws(() => compileRules(Array.from({ length: 1001 }, () => ({ match: '', path: '/' }))), {
    message: /more than 1000/,
  });
});

t.test('an expression that would take for ever over one event is given up', async (t) => {
  const data = { text: `${'a'.repeat(60)}!`, list: Array.from({ length: 400 }, (_, index) => index) };
  const backtracking = compileRules([{ match: 'event.data.text.matches("^(a+)+$")', path: '/a' }]);
  t.throws(() => backtracking.match({ data }), { message: /was given up: it took longer than 250 ms/ });
  const nested = 'event.data.list.all(a, event.data.list.all(b, event.data.list.all(c, a + b + c >= 0)))';
  t.throws(() => compileRules([{ match: nested, path: '/a' }]).match({ data }), { message: /was given up/ });
  t.equal(backtracking.match({ data: { text: 'aaa' } }), '/a', 'the rule goes on working');
});

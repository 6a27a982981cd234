/** What becomes of a key that both sides may have changed, rule by rule. */

import t from 'tap';
import { nextStamp, seenStamp, stampMs } from '../../../../runtime/building-blocks/sync/hybrid-clock.ts';
import { mergeObjects } from '../../../../runtime/building-blocks/sync/merge-json.ts';
import { type Base, review } from '../../../../runtime/building-blocks/sync/review.ts';
import type { ConflictRule } from '../../../../runtime/contracts/resource.ts';

const token = (text: string | undefined): string => text ?? '';
const at = (text: string | undefined, stamp: number) => ({ text, stamp });

function outcome(
  rule: ConflictRule,
  base: string,
  local: string | undefined,
  remote: string | undefined,
  more: Partial<Base> = {},
) {
  return review({
    rule,
    base: { token: base, text: base, ...more },
    local: at(local, 20),
    remote: at(remote, 10),
    token,
    now: 30,
  });
}

t.test('one side changed', (t) => {
  t.same(outcome('last-write', '1', '1', '1'), { push: false });
  t.same(outcome('last-write', '1', '2', '1'), { push: true });
  t.same(outcome('last-write', '1', undefined, '1'), { push: true }, 'a deletion too');
  t.match(outcome('edge-wins', '1', '1', '2'), { write: { text: '2' }, push: false, base: { token: '2' } });
  t.match(outcome('edge-wins', '1', '1', undefined), { write: { text: undefined }, push: false });
  t.match(outcome('ask', '1', '2', '2'), { base: { token: '2' }, push: false }, 'to the same');
  t.end();
});

t.test('both sides changed', (t) => {
  t.match(outcome('edge-wins', '1', '2', '3'), {
    push: true,
    conflict: { kept: 'local' },
    base: { token: '3' },
  });
  t.match(outcome('cloud-wins', '1', '2', '3'), {
    push: false,
    conflict: { kept: 'remote' },
    write: { text: '3' },
  });
  t.match(outcome('last-write', '1', '2', '3'), { push: true, conflict: { kept: 'local' } });
  t.match(outcome('last-write', '1', undefined, '3'), { push: true, conflict: { kept: 'local' } });
  t.match(outcome('ask', '1', '2', '3'), {
    push: false,
    conflict: { kept: 'both' },
    base: { token: '1', asked: { local: '2', remote: '3' } },
  });
  t.end();
});

t.test('an open question', (t) => {
  const asked = { asked: { local: '2', remote: '3' } };
  t.same(outcome('ask', '1', '2', '3', asked), { push: false });
  t.match(outcome('ask', '1', '4', '3', asked), { push: true, base: { token: '3' } });
  t.match(outcome('ask', '1', '1', '3', asked), { push: true }, 'the answer may be the value of before');
  t.match(outcome('ask', '1', '2', '4', asked), { write: { text: '4' }, push: false });
  t.match(outcome('ask', '1', '4', '5', asked), { conflict: { kept: 'both' } });
  t.end();
});

t.test('merge', (t) => {
  const base = '{"a":1,"b":1}';
  t.match(outcome('merge', base, '{"a":2,"b":1}', '{"a":1,"b":2}'), {
    write: { text: '{"a":2,"b":2}', stamp: 30 },
    push: true,
    conflict: undefined,
  });
  t.match(outcome('merge', base, '{"a":2,"b":1}', '{"a":3,"b":1}'), {
    push: true,
    conflict: { kept: 'merged', fields: [{ path: '/a', local: 2, remote: 3 }] },
  });
  t.match(outcome('merge', base, '[1]', '{"a":3}'), { conflict: { kept: 'local' } }, 'no objects: the later');
  t.same(
    mergeObjects({ a: { x: 1, y: 1 }, gone: 1 }, { a: { x: 2, y: 1 }, gone: 1 }, { a: { x: 1, y: 2 } }, true),
    { value: { a: { x: 2, y: 2 } }, conflicts: [] },
  );
  t.match(mergeObjects({}, { 'a/b': 1 }, { 'a/b': 2 }, false), {
    value: { 'a/b': 2 },
    conflicts: [{ path: '/a~1b' }],
  });
  t.end();
});

t.test('hybrid time', (t) => {
  t.equal(nextStamp(0, 5), 5 * 1024);
  t.equal(nextStamp(10 * 1024, 5), 10 * 1024 + 1, 'never back');
  t.equal(seenStamp(5, 9), 9);
  t.equal(seenStamp(5, 2 ** 60), 5, 'what is no stamp is not believed');
  t.equal(stampMs(nextStamp(0, 1_700_000_000_123)), 1_700_000_000_123);
  t.end();
});

import t from 'tap';
import { joinMembers, jsonMembers } from '../../../../runtime/building-blocks/pubsub/json-members.ts';

t.test('splits an object into the texts of its members', async (t) => {
  const text = ` { "a" : 9007199254740993 , "b\\"\\\\":{"x":[1,"}",{"y":2}]},"c":"q\\"\\\\" ,"d":null,"e":[ ] } `;
  t.same(
    [...jsonMembers(text)],
    [
      ['a', '9007199254740993'],
      ['b"\\', '{"x":[1,"}",{"y":2}]}'],
      ['c', '"q\\"\\\\"'],
      ['d', 'null'],
      ['e', '[ ]'],
    ],
  );
  t.same([...jsonMembers('{}')], []);
  t.same([...jsonMembers('{"a":1,"a":2}')], [['a', '2']]);
});

t.test('agrees with JSON.parse on many shapes', async (t) => {
  const values = [
    1,
    -1.5e10,
    '',
    'a,b}]{["\\',
    true,
    null,
    [],
    {},
    [[1, '"'], { k: ['\\"'] }],
    { '': { 'a:b': '\u2028' } },
  ];
  for (const first of values) {
    for (const second of values) {
      for (const space of [0, 2]) {
        const object = { first, 'se"c,ond': second };
        const members = jsonMembers(JSON.stringify(object, null, space));
        t.same(JSON.parse(joinMembers(members)), object);
        t.same(JSON.parse(members.get('first') ?? ''), first);
      }
    }
  }
});

t.test('joins', async (t) => {
  t.equal(
    joinMembers(
      new Map([
        ['a', '1'],
        ['b"', '"x"'],
      ]),
    ),
    '{"a":1,"b\\"":"x"}',
  );
  t.equal(joinMembers(new Map()), '{}');
});

t.test('a text that is cut ends', async (t) => {
  t.same([...jsonMembers('{"a":"x')], [['a', '"x']]);
});

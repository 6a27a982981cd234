/** Topic names and filters of MQTT 3.1.1, section 4.7. */

import t from 'tap';
import { TopicTree } from '../../../../edge-components/broker/topic-tree.ts';
import {
  filterMatches,
  matcher,
  sharedFilter,
  topicFilterFault,
  topicNameFault,
} from '../../../../edge-components/drivers/mqtt/topic.ts';

const CASES: readonly (readonly [filter: string, topic: string, matches: boolean])[] = [
  ['a/b', 'a/b', true],
  ['a/b', 'a/b/c', false],
  ['#', 'a/b', true],
  ['a/#', 'a', true],
  ['a/#', 'a/b/c', true],
  ['a/#', 'ab', false],
  ['+', 'a', true],
  ['+', 'a/b', false],
  ['+/+', '/a', true],
  ['a/+', 'a', false],
  ['a/+', 'a/', true],
  ['a/+/c', 'a/b/c', true],
  ['/+', '/a', true],
  ['#', '$SYS/x', false],
  ['+/x', '$SYS/x', false],
  ['$SYS/#', '$SYS/x', true],
];

t.test('matching, by filter and by tree', async (t) => {
  for (const [filter, topic, expected] of CASES) {
    t.equal(filterMatches(filter, topic), expected, `${filter} ~ ${topic}`);
    t.equal(matcher(filter)(topic), expected);
    const tree = new TopicTree<string>();
    tree.add(filter, 'value');
    const found: string[] = [];
    tree.match(topic, (value) => found.push(value));
    t.same(found, expected ? ['value'] : [], `tree: ${filter} ~ ${topic}`);
    tree.remove(filter, 'value');
    tree.match(topic, () => t.fail('removed'));
  }
});

t.test('faults name what is wrong', async (t) => {
  t.equal(topicNameFault('a/b'), undefined);
  t.match(topicNameFault('a/#'), /wildcard/);
  t.match(topicNameFault(''), /empty/);
  t.match(topicNameFault('a\u0000'), /null character/);
  t.match(topicNameFault('x'.repeat(65_536)), /longer than 65535/);
  t.equal(topicFilterFault('$share/g/a/#'), undefined);
  t.match(topicFilterFault('a/#/b'), /last level/);
  t.match(topicFilterFault('a/b+'), /alone in its level/);
});

t.test('shared filters', async (t) => {
  t.same(sharedFilter('$share/g/a/b'), { group: 'g', filter: 'a/b' });
  t.equal(sharedFilter('$share/g'), undefined);
  t.equal(sharedFilter('$share//a'), undefined);
  t.equal(sharedFilter('$share/g/'), undefined);
});

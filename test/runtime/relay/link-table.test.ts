// App ids appear with their first link and vanish with their last; links take turns.

import t from 'tap';
import { createLinkTable } from '../../../runtime/relay/link-table.ts';
import type { RelayLink } from '../../../runtime/relay/relay-link.ts';

const link = (name: string): RelayLink => ({ name }) as unknown as RelayLink;

t.test('links by app id', (t) => {
  const heard: string[] = [];
  const table = createLinkTable((appId, present) => void heard.push(`${present ? '+' : '-'}${appId}`));
  const [one, two, newer] = [link('one'), link('two'), link('newer')];
  table.set('site-1', one, ['door', 'lamp']);
  table.set('site-2', two, ['door']);
  t.same(heard, ['+door', '+lamp']);
  t.same([table.pick('door'), table.pick('door'), table.pick('door')], [one, two, one]);
  table.set('site-1', one, ['lamp', 'gate']);
  t.same(heard.splice(0), ['+door', '+lamp', '+gate']);
  t.same([table.pick('door'), table.pick('door')], [two, two]);
  table.set('site-1', newer, ['lamp']);
  t.same(heard.splice(0), ['-gate'], 'a newer link takes over without a gap');
  table.remove('site-1', one);
  t.equal(table.pick('lamp'), newer, 'the end of the old one changes nothing');
  t.ok(table.announces('site-1', 'lamp'));
  t.notOk(table.announces('site-1', 'door'), 'the app of another node');
  table.remove('site-1', newer);
  table.remove('site-2', two);
  t.same(heard, ['-lamp', '-door']);
  t.equal(table.size, 0);
  t.end();
});

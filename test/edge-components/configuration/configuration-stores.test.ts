/** `configuration.sqlite` and `configuration.in-memory`: reads and pushed changes. */

import { join } from 'node:path';
import t from 'tap';
import { definition as inMemory } from '../../../edge-components/configuration/in-memory/component.ts';
import { ConfigurationInMemory } from '../../../edge-components/configuration/in-memory/configuration-in-memory.ts';
import { definition as sqlite } from '../../../edge-components/configuration/sqlite/component.ts';
import type { ConfigurationItems } from '../../../runtime/contracts/configuration-store.ts';
import { decodeMetadata } from '../../../runtime/contracts/metadata.ts';
import { componentDeps } from '../../support/component-deps.ts';
import { fakeClock } from '../../support/fake-clock.ts';
import { openPool } from '../../support/open-pool.ts';

const signal = new AbortController().signal;
const item = (value: string, version = '', metadata = {}) => ({ value, version, metadata });

t.test('configuration.sqlite reads rows and pushes what another connection changes', async (t) => {
  const directory = t.testdir();
  const clock = fakeClock();
  const databases = openPool(directory, { clock });
  const path = join(directory, 'c.db');
  const decoded = decodeMetadata(sqlite.metadata, { connectionString: path, pollInterval: '100ms' });
  if (!decoded.ok) throw new Error(decoded.faults.join());
  const store = sqlite.create(decoded.value, componentDeps({ clock, databases }));
  await store.init(signal);
  const database = await databases.open({ path });
  const put = (key: string, value: string, version = '1', metadata = '{"by":"me"}') =>
    database.write([
      {
        sql: 'INSERT OR REPLACE INTO configuration VALUES (?, ?, ?, ?)',
        params: [key, value, version, metadata],
      },
    ]);
  await put('a', '1');
  await put('b', '2', '', 'not json');
  t.same(await store.get(['a', 'none'], {}, signal), { a: item('1', '1', { by: 'me' }) });
  t.same(Object.keys(await store.get([], {}, signal)), ['a', 'b']);

  const some: ConfigurationItems[] = [];
  const all: ConfigurationItems[] = [];
  const first = await store.subscribe(['a'], {}, (items) => some.push(items));
  await store.subscribe([], {}, (items) => all.push(items));
  await clock.advance(1000);
  t.same([some, all], [[], []], 'what was there before is not a change');
  await put('a', '5', '2');
  await put('c', '3');
  await clock.advance(100);
  t.same(some, [{ a: item('5', '2', { by: 'me' }) }]);
  t.same(all, [{ a: item('5', '2', { by: 'me' }), c: item('3', '1', { by: 'me' }) }]);
  await database.write([{ sql: "DELETE FROM configuration WHERE key = 'a'" }]);
  await first.close();
  await clock.advance(100);
  t.equal(some.length, 1, 'a closed subscription hears nothing');
  t.same(all[1], { a: item('') }, 'a removed key has an empty value');
  await store.close();
  t.equal(clock.pending, 0);
  await databases.close();
});

t.test('configuration.in-memory serves the items of its metadata', async (t) => {
  const decoded = decodeMetadata(inMemory.metadata, { items: '{"a":"1","b":{"value":"2","version":"7"}}' });
  if (!decoded.ok) throw new Error(decoded.faults.join());
  const store = inMemory.create(decoded.value, componentDeps());
  await store.init(signal);
  t.same(await store.get([], {}, signal), { a: item('1'), b: item('2', '7') });
  t.same(await store.get(['b', 'x'], {}, signal), { b: item('2', '7') });
  const heard: ConfigurationItems[] = [];
  const subscription = await store.subscribe(['a'], {}, (items) => heard.push(items));
  if (!(store instanceof ConfigurationInMemory)) throw new Error('another class');
  store.put('a', item('9'));
  store.put('b', item('9'));
  store.put('a');
  await subscription.close();
  store.put('a', item('10'));
  t.same(heard, [{ a: item('9') }, { a: item('') }]);
  await store.close();
  t.match(decodeMetadata(inMemory.metadata, { items: '[1]' }), {
    ok: false,
    faults: [/metadata item 'items': expected a JSON object/],
  });
});

/** The encrypted last-known-good copy: what is kept comes back, to its owner and under its key alone. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { createKeptCopy } from '../../../../edge-components/drivers/dapr-api/kept-copy.ts';
import { componentDeps } from '../../../support/component-deps.ts';
import { fakeClock } from '../../../support/fake-clock.ts';
import { openPool } from '../../../support/open-pool.ts';

t.test('keeps, replaces, forgets; tells its age', async (t) => {
  const clock = fakeClock();
  const databases = openPool(t.testdir(), { clock });
  t.teardown(() => databases.close());
  const kept = createKeptCopy(componentDeps({ databases, clock }));
  await kept.open();
  t.teardown(() => kept.close());
  t.equal(kept.read('a'), undefined);
  await kept.keep('a', 'one');
  await clock.advance(5000);
  t.same(kept.read('a'), { text: 'one', ageMs: 5000 });
  await kept.keep('a', 'two');
  t.same(kept.read('a'), { text: 'two', ageMs: 0 });
  await kept.forget('a');
  t.equal(kept.read('a'), undefined);
});

t.test('the file does not show what is kept', async (t) => {
  const folder = t.testdir();
  const databases = openPool(folder);
  const kept = createKeptCopy(componentDeps({ databases }));
  await kept.open();
  await kept.keep('secret:db', '{"password":"correct horse"}');
  await kept.close();
  await databases.close();
  for (const file of ['system.db']) {
    t.notMatch(readFileSync(join(folder, file), 'latin1'), /correct horse/);
  }
});

t.test('another component, another key or another entry cannot read it', async (t) => {
  const databases = openPool(t.testdir());
  t.teardown(() => databases.close());
  const open = async (given: Parameters<typeof componentDeps>[0]) => {
    const kept = createKeptCopy(componentDeps({ databases, ...given }));
    await kept.open();
    t.teardown(() => kept.close());
    return kept;
  };
  const mine = await open({ componentName: 'vault' });
  await mine.keep('a', 'text');
  t.equal((await open({ componentName: 'other' })).read('a'), undefined);
  const otherKey = async () => new Uint8Array(32).fill(8);
  t.equal((await open({ componentName: 'vault', nodeKey: otherKey })).read('a'), undefined);
  const system = await databases.system([]);
  t.teardown(() => system.close());
  await system.write([{ sql: "UPDATE kept_copies SET entry = 'b'" }]);
  t.equal(mine.read('b'), undefined, 'an entry that was given another name is not believed');
});

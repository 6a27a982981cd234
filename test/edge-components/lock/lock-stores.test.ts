/** `lock.sqlite` and `lock.in-memory`: the same rules. */

import { join } from 'node:path';
import t from 'tap';
import { definition as inMemory } from '../../../edge-components/lock/in-memory/component.ts';
import { definition as sqlite } from '../../../edge-components/lock/sqlite/component.ts';
import { decodeMetadata } from '../../../runtime/contracts/metadata.ts';
import { componentDeps } from '../../support/component-deps.ts';
import { fakeClock } from '../../support/fake-clock.ts';
import { openPool } from '../../support/open-pool.ts';

const signal = new AbortController().signal;

for (const definition of [inMemory, sqlite]) {
  t.test(definition.type, async (t) => {
    const directory = t.testdir();
    const clock = fakeClock();
    const databases = openPool(directory, { clock });
    const items: Record<string, string> = definition === sqlite ? { url: join(directory, 'lock.db') } : {};
    const decoded = decodeMetadata<object>(definition.metadata, items);
    if (!decoded.ok) throw new Error(decoded.faults.join());
    const store = definition.create(decoded.value as never, componentDeps({ clock, databases }));
    await store.init(signal);

    t.ok(await store.tryLock('r', 'one', 10, signal));
    t.notOk(await store.tryLock('r', 'two', 10, signal), 'held by another');
    t.notOk(await store.tryLock('r', 'one', 10, signal), 'not re-entrant');
    t.ok(await store.tryLock('other', 'two', 10, signal));
    t.equal(await store.unlock('r', 'two', signal), 'owned-by-other');
    t.equal(await store.unlock('none', 'two', signal), 'missing');
    t.equal(await store.unlock('r', 'one', signal), 'released');
    t.equal(await store.unlock('r', 'one', signal), 'missing');
    const winners = await Promise.all(
      ['a', 'b', 'c'].map((owner) => store.tryLock('race', owner, 5, signal)),
    );
    t.same(winners, [true, false, false]);
    await clock.advance(5000);
    t.equal(await store.unlock('race', 'a', signal), 'missing', "an expired lock is nobody's");
    t.ok(await store.tryLock('race', 'b', 5, signal));

    await store.close();
    await store.close();
    await databases.close();
  });
}

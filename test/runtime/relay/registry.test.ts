// What a relay remembers: tokens of one use with an end, names that do not change hands by themselves.

import t from 'tap';
import { createSqliteRegistry, RELAY_MIGRATION } from '../../../runtime/relay/sqlite-registry.ts';
import { fakeClock } from '../../support/fake-clock.ts';
import { openPool } from '../../support/open-pool.ts';

t.test('tokens and nodes', async (t) => {
  const clock = fakeClock();
  const pool = openPool(t.testdir());
  t.teardown(() => pool.close());
  const registry = createSqliteRegistry(await pool.system([RELAY_MIGRATION]), clock);
  const give = (hash: string, node?: string) =>
    registry.addToken({
      hash,
      appIds: ['door', 'lamp'],
      ttlMs: 60_000,
      ...(node === undefined ? {} : { node }),
    });
  await give('a');
  await give('b');
  await give('c', 'site-1');

  t.match(await registry.enrol('a', { name: 'site-1', keyHash: 'k1' }), {
    ok: true,
    node: { name: 'site-1', appIds: ['door', 'lamp'], keyHash: 'k1' },
  });
  t.match(await registry.enrol('a', { name: 'site-2', keyHash: 'k2' }), {
    ok: false,
    reason: /used already/,
  });
  t.match(await registry.enrol('none', { name: 'site-2', keyHash: 'k2' }), {
    ok: false,
    reason: /not known/,
  });
  t.match(await registry.enrol('b', { name: 'site-1', keyHash: 'k2' }), {
    ok: false,
    reason: /site-1 is taken/,
  });
  t.equal((await registry.node('site-1'))?.keyHash, 'k1', 'the name stays with its key');
  t.match(await registry.enrol('c', { name: 'site-2', keyHash: 'k2' }), {
    ok: false,
    reason: /for the node site-1/,
  });
  t.match(await registry.enrol('c', { name: 'site-1', keyHash: 'k3' }), {
    ok: true,
    node: { keyHash: 'k3' },
  });
  t.match(
    await registry.enrol('b', { name: 'site-2', keyHash: 'k2' }),
    { ok: true },
    'a refusal costs no token',
  );

  t.ok(await registry.revoke('site-1'));
  t.notOk(await registry.revoke('site-1'));
  t.notOk(await registry.revoke('nobody'));
  t.equal((await registry.node('site-1'))?.revokedAt, clock.now());
  await give('d');
  t.match(
    await registry.enrol('d', { name: 'site-1', keyHash: 'k4' }),
    { ok: false },
    'a revoked name as well',
  );
  await registry.linkEnded('site-2', clock.now(), 'cut');
  t.match(await registry.nodes(), [
    { name: 'site-1' },
    { name: 'site-2', lastContact: clock.now(), lastReason: 'cut' },
  ]);
  await clock.advance(60_001);
  t.match(await registry.enrol('d', { name: 'site-3', keyHash: 'k' }), { ok: false, reason: /has expired/ });
});

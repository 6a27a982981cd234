// What a relay remembers: tokens of one use with an end, names that do not change hands by themselves. The same suite for a
// relay that is alone and for relays that share a database.

import t, { type Test } from 'tap';
import { openPostgres } from '../../../runtime/relay/postgres/connection.ts';
import { createPostgresLinkRows } from '../../../runtime/relay/postgres/link-rows.ts';
import { createPostgresRegistry } from '../../../runtime/relay/postgres/registry.ts';
import { agree, migrate } from '../../../runtime/relay/postgres/schema.ts';
import { RegistryAway } from '../../../runtime/relay/registry.ts';
import { createSqliteRegistry, RELAY_MIGRATION } from '../../../runtime/relay/sqlite-registry.ts';
import { fakeClock } from '../../support/fake-clock.ts';
import { openPool } from '../../support/open-pool.ts';
import { startPostgres, withoutPostgres } from '../../support/postgres.ts';
import { registryContract } from '../../support/registry-contract.ts';

t.setTimeout(60_000);

t.test('in a file', (t) =>
  registryContract(t, async (t) => {
    const clock = fakeClock();
    const pool = openPool(t.testdir());
    t.teardown(() => pool.close());
    return {
      registry: createSqliteRegistry(await pool.system([RELAY_MIGRATION]), clock),
      elapse: (ms) => clock.advance(ms),
    };
  }),
);

t.test('in PostgreSQL', { skip: withoutPostgres }, async (t) => {
  const server = await startPostgres(t);
  let databases = 0;
  const open = async (t: Test) => {
    databases += 1;
    const url = await server.database(`registry_${databases}`);
    const postgres = await openPostgres(url, () => {});
    t.teardown(() => postgres.close());
    await migrate(postgres);
    return { postgres, url };
  };

  await t.test('the contract', async (t) => {
    const { postgres } = await open(t);
    await registryContract(t, async () => {
      await postgres.query('TRUNCATE skerry_relay_node, skerry_relay_token');
      return {
        registry: createPostgresRegistry(postgres),
        elapse: async (ms) => {
          await postgres.query(
            "UPDATE skerry_relay_token SET expires_at = expires_at - $1 * interval '1 ms'",
            [ms],
          );
        },
      };
    });
  });

  await t.test('relays agree on their authority, and make the tables once', async (t) => {
    const { postgres } = await open(t);
    await Promise.all([migrate(postgres), migrate(postgres), migrate(postgres)]);
    const own = { authority: 'aa', trustDomain: 'public' };
    await agree(postgres, own);
    await agree(postgres, own);
    await t.rejects(
      agree(postgres, { ...own, authority: 'bb' }),
      /authority aa, and this one has bb: .*--ca-cert/,
    );
    await t.rejects(agree(postgres, { ...own, trustDomain: 'other' }), /--trust-domain public/);
    await postgres.query("UPDATE skerry_relay_meta SET value = '99' WHERE key = 'schema'");
    await t.rejects(migrate(postgres), /newer version/);
  });

  await t.test('links count while the lease of their relay does', async (t) => {
    const { postgres } = await open(t);
    const registry = createPostgresRegistry(postgres);
    const relay = (id: string) =>
      createPostgresLinkRows(postgres, { id, address: `${id}:1`, internalAddress: `${id}:2` });
    const [one, two] = [relay('one'), relay('two')];
    t.same(await one.renew(), { mine: [], others: [] });
    t.match((await two.renew()).others, [{ id: 'one', address: 'one:1', internalAddress: 'one:2' }]);
    const row = (node: string, ...appIds: string[]) => ({ node, appIds });
    t.same((await one.put([row('b', 'door'), row('a', 'door', 'it"s {odd},')], true)).toSorted(), ['a', 'b']);
    t.same(await two.find('door'), [{ id: 'one', address: 'one:1' }]);
    t.same(await two.find('it"s {odd},'), [{ id: 'one', address: 'one:1' }]);
    t.same(await one.find('door'), [], 'the own links are not looked for');
    t.same(await two.put([row('a', 'door')], false), [], 'not what another relay has');
    t.same(await two.put([row('a', 'lamp')], true), ['a'], 'but what comes newly');
    await one.drop(['a']);
    t.same(
      await one.find('lamp'),
      [{ id: 'two', address: 'two:1' }],
      'the end of the old one changes nothing',
    );
    t.same((await one.renew()).mine, ['b']);
    await registry.addToken({ hash: 't', appIds: ['door'], ttlMs: 1000 });
    await registry.enrol('t', { name: 'b', keyHash: 'k' });
    await registry.revoke('b');
    t.match(await one.changed(1000), [{ name: 'b', keyHash: 'k', revokedAt: Number }]);
    await postgres.query("UPDATE skerry_relay_node SET changed_at = now() - interval '1 minute'");
    t.same(await one.changed(30_000), []);

    await postgres.query(
      "UPDATE skerry_relay SET lease_until = now() - interval '1 second' WHERE id = 'one'",
    );
    t.same(await two.find('door'), [], 'an expired lease');
    t.same(
      (await two.all()).map(({ node, relay }) => [node, relay]),
      [['a', 'two']],
    );
    t.same(await two.put([row('b', 'door')], false), ['b'], 'is no hindrance');
    t.same((await one.renew()).mine, [], 'and nothing is left when it comes back');
    await one.put([row('b', 'door')], true);
    await postgres.query(
      "UPDATE skerry_relay SET lease_until = now() - interval '1 minute' WHERE id = 'one'",
    );
    t.same((await two.renew()).others, [], 'after a while a relay is forgotten');
    t.match((await registry.node('b'))?.lastReason, 'its relay was lost');
    await t.rejects(one.put([row('b', 'door')], true), /the registry: /, 'and must come back first');
    await two.leave();
    t.same(await two.all(), []);
  });

  await t.test('away', async (t) => {
    const { postgres, url } = await open(t);
    const registry = createPostgresRegistry(postgres);
    await server.stop();
    await t.rejects(registry.node('a'), RegistryAway);
    await t.rejects(registry.enrol('x', { name: 'a', keyHash: 'k' }), RegistryAway);
    await server.start();
    t.equal(await registry.node('a'), undefined, 'and back');
    const wrong = await openPostgres(url.replace(server.password, 'other-word'), () => {});
    const refused = await wrong.query('SELECT 1').catch((error: unknown) => error);
    t.match(refused, { message: /password authentication failed/ });
    t.notMatch(JSON.stringify(refused) + String((refused as Error).stack), /other-word/);
    await wrong.close();
    await t.rejects(
      openPostgres('postgres://u:other-word@h:port/d', () => {}),
      {
        message: /^the address of the registry is malformed: expected/,
      },
    );
  });
});

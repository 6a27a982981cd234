import { join } from 'node:path';
import t, { type Test } from 'tap';
import { definition } from '../../../../edge-components/nameresolution/sqlite/component.ts';
import { decodeMetadata } from '../../../../runtime/contracts/metadata.ts';
import { componentDeps } from '../../../support/component-deps.ts';
import { countingIds } from '../../../support/counting-ids.ts';
import { fakeClock } from '../../../support/fake-clock.ts';
import { openPool, until } from '../../../support/open-pool.ts';

const signal = new AbortController().signal;
const app = (appId: string, internalPort = 1) => ({
  appId,
  namespace: 'zone',
  address: '127.0.0.1',
  internalPort,
  httpPort: 0,
});
const request = (appId: string) => ({ appId, namespace: '' });

async function open(t: Test) {
  const directory = t.testdir();
  const clock = fakeClock();
  const databases = openPool(directory, { clock });
  const path = join(directory, 'names.db');
  const decoded = decodeMetadata(definition.metadata, { connectionString: path });
  if (!decoded.ok) throw new Error(decoded.faults.join());
  const resolver = definition.create(decoded.value, componentDeps({ clock, databases, ids: countingIds() }));
  await resolver.init(signal);
  const database = await databases.open({ path }, signal);
  t.teardown(async () => {
    await resolver.close();
    await database.close();
    await databases.close();
  });
  return { resolver, database, clock };
}

t.test('a row per registration, in the table that daprd uses', async (t) => {
  const { resolver, database } = await open(t);
  const registration = await resolver.register(app('one'));
  await resolver.register({ ...app('six'), address: 'fd00::1' });
  t.equal(await resolver.resolve(request('one'), signal), '127.0.0.1:1');
  t.equal(await resolver.resolve(request('six'), signal), '[fd00::1]:1');
  const rows = database.read(
    "SELECT registration_id, address, app_id, namespace, unixepoch() - last_update < 5 AS fresh FROM hosts WHERE app_id = 'one'",
  );
  t.match(rows, [
    { registration_id: /^[0-9a-f-]{36}$/, address: '127.0.0.1:1', app_id: 'one', namespace: '', fresh: 1 },
  ]);
  t.match(database.read("SELECT value FROM metadata WHERE key = 'nr-migrations'"), [{ value: '1' }]);
  await registration.close();
  await t.rejects(resolver.resolve(request('one'), signal), { message: 'no host found with the given ID' });
});

t.test('an address belongs to the last who took it, and stale rows do not count', async (t) => {
  const { resolver, database } = await open(t);
  await resolver.register(app('old'));
  await resolver.register(app('new'));
  await t.rejects(resolver.resolve(request('old'), signal), { message: 'no host found with the given ID' });
  t.equal(await resolver.resolve(request('new'), signal), '127.0.0.1:1');
  await database.write([{ sql: 'UPDATE hosts SET last_update = last_update - 5' }]);
  await t.rejects(resolver.resolve(request('new'), signal), { message: 'no host found with the given ID' });
});

t.test('rows are renewed, also when somebody removed them', async (t) => {
  const { resolver, database, clock } = await open(t);
  await resolver.register(app('one'));
  const fresh = () => database.read('SELECT 1 FROM hosts WHERE unixepoch() - last_update < 5').length === 1;
  await database.write([{ sql: 'UPDATE hosts SET last_update = 1' }]);
  await clock.advance(4000);
  await until(fresh);
  await database.write([{ sql: 'DELETE FROM hosts' }]);
  await clock.advance(4000);
  await until(fresh);
});

t.test('configuration that cannot work is refused with its item', async (t) => {
  const faults = (items: Record<string, string>) => {
    const decoded = decodeMetadata(definition.metadata, { connectionString: ':memory:', ...items });
    return decoded.ok ? [] : decoded.faults;
  };
  t.match(faults({ updateInterval: '1500ms' }), [/updateInterval.*fractions of seconds/]);
  t.match(faults({ tableName: 'a b' }), [/tableName.*invalid identifier/]);
  const decoded = decodeMetadata(definition.metadata, { connectionString: ':memory:', updateInterval: '1s' });
  t.throws(() => definition.create(decoded.ok ? decoded.value : (undefined as never), componentDeps()), {
    message: 'update interval must be at least 1s greater than timeout',
  });
});
